"""libvirt's errors in our words. What it says is kept; where an operator can do something about it, that is added."""

import re
from collections.abc import Callable

import libvirt

from horcrux.errors import (
    AlreadyExists,
    Conflict,
    HorcruxError,
    HostLacks,
    InUse,
    Invalid,
    NoSpace,
    NotFound,
    Unavailable,
    Unreachable,
    invalid_field,
)

_REMEDIES: tuple[tuple[str, type[HorcruxError], str], ...] = (
    (
        r"[Pp]ermission denied",
        HostLacks,
        "QEMU runs as user libvirt-qemu; let it through the folders above that file "
        "(`setfacl -m u:libvirt-qemu:--x FOLDER`), or keep the pool under /var/lib",
    ),
    (
        r"KVM kernel module|accel.*kvm|KVM is not available",
        HostLacks,
        "this host has no usable /dev/kvm; see `horcrux doctor`",
    ),
    (r"O_DIRECT", HostLacks, "that file system cannot bypass the page cache; choose disk cache writeback"),
    (r"Failed to get .*lock|lock.*is already being held", InUse, "another process has the disk open; stop it first"),
    (r"[Aa]ddress already in use", Conflict, "something else listens there; stop it first"),
    (r"No space left", NoSpace, "free some space on that file system"),
    (r"[Cc]annot (set up guest|allocate) memory", Unavailable, "stop another VM, or give this one less memory"),
    (
        r"[Cc]annot get interface MTU|Cannot find device|No such device",
        HostLacks,
        "the bridge does not exist on this host",
    ),
    (r"already exists with uuid|already defined with uuid", AlreadyExists, "another domain has that name or UUID"),
    (r"[Nn]o such file or directory", Unavailable, "is the pool that holds it active?"),
    (r"virtlogd", HostLacks, "start virtlogd"),
)

_BY_CODE: dict[int, Callable[[str], HorcruxError]] = {
    libvirt.VIR_ERR_NO_DOMAIN: NotFound,
    libvirt.VIR_ERR_OPERATION_INVALID: Conflict,
    libvirt.VIR_ERR_DOM_EXIST: AlreadyExists,
    libvirt.VIR_ERR_NO_CONNECT: Unreachable,
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED: HostLacks,
    libvirt.VIR_ERR_NO_SUPPORT: HostLacks,
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED: HostLacks,
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED: HostLacks,
    libvirt.VIR_ERR_XML_ERROR: Invalid,
    libvirt.VIR_ERR_XML_DETAIL: Invalid,
    libvirt.VIR_ERR_XML_INVALID_SCHEMA: Invalid,
    libvirt.VIR_ERR_INVALID_ARG: Invalid,
    libvirt.VIR_ERR_OPERATION_TIMEOUT: Unavailable,
    libvirt.VIR_ERR_RESOURCE_BUSY: Unavailable,
    libvirt.VIR_ERR_AGENT_UNRESPONSIVE: Unavailable,
    libvirt.VIR_ERR_NO_MEMORY: Unavailable,
}

_FIELDS: tuple[tuple[str, str, str], ...] = (
    (r"does not support machine type", "machine", "this host's QEMU has no such machine for that architecture"),
    (r"Unknown CPU model", "cpu_model", "libvirt knows no such processor for that architecture"),
)
"""What only libvirt can tell to be wrong with what the user sent."""

_TRANSPORT = frozenset({libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE})
_CLOSED = re.compile(r"socket is closed|[Cc]onnection.*(closed|reset|refused)|keepalive|connect socket")


def from_libvirt(error: libvirt.libvirtError, what: str) -> HorcruxError:
    """The error of our tree for `error`, met while working on `what` (a VM's id, a URI)."""
    code, text = error.get_error_code(), (error.get_error_message() or str(error)).strip()
    if code == libvirt.VIR_ERR_NO_CONNECT or (error.get_error_domain() in _TRANSPORT) or _CLOSED.search(text):
        return Unreachable(f"libvirt does not answer ({text}); is libvirtd running?")
    if code == libvirt.VIR_ERR_NO_DOMAIN:
        return NotFound(f"no VM {what} on this node")
    for pattern, field, message in _FIELDS:
        if re.search(pattern, text):
            return invalid_field(field, f"{message} ({text})")
    for pattern, kind, remedy in _REMEDIES:
        if re.search(pattern, text):
            return kind(f"{what}: {text}; {remedy}")
    return _BY_CODE.get(code, HorcruxError)(f"{what}: libvirt says: {text}")
