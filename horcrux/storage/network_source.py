"""How QEMU reaches a volume that is neither file nor device."""

import msgspec


class NetworkSource(msgspec.Struct, frozen=True, kw_only=True):
    """Beside the path `<protocol>:<name>[:<options of qemu-img>]` of such a volume. A name holds no colon."""

    hosts: tuple[str, ...] = ()
    """`<host>` or `<host>:<port>`, IPv6 addresses in brackets; none: as the host's own configuration of the protocol says."""
    user: str | None = None
    secret: str | None = None
    """UUID of libvirt's secret that holds the user's key."""


def split_host(host: str) -> tuple[str, str | None]:
    """Name or address without brackets, and the port when there is one."""
    if host.startswith("["):
        address, _, rest = host[1:].partition("]")
        return address, rest.removeprefix(":") or None
    name, _, port = host.partition(":")
    return name, port or None


def without_options(path: str) -> str:
    """A volume's path as a hypervisor tells it back: of a network volume `<protocol>:<name>` alone. Equal for the same volume."""
    return path if path.startswith("/") else ":".join(path.split(":")[:2])
