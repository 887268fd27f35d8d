"""Settings: a TOML file, then `HORCRUX_*` from the environment, then flags; the last one wins.

Pure: files and environment are handed in as mappings (`agent/settings.py` reads them).
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from horcrux.errors import Invalid


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One agent's settings. Each has an environment name: `HORCRUX_` and the field in capitals."""

    state_dir: str = "/var/lib/horcrux"
    run_dir: str = "/run/horcrux"
    """Sockets live below `<run_dir>/<node id>`; short, since a Unix socket's path holds 107 bytes."""
    listen: str = "127.0.0.1:8006"
    peer_listen: str = ""
    """Where peers are listened for, once one is trusted. Empty: the host of `listen`, its port + 1."""
    node_name: str = ""
    """Empty: the host's name."""
    admin_password: str = ""
    """First start only; else a one-use set-up link is printed."""
    libvirt_uri: str = "qemu:///system"
    accel: Literal["auto", "kvm", "tcg"] = "auto"
    log: Literal["text", "json"] = "text"
    rate_limit: Literal["on", "off"] = "on"
    rate_limit_per_hour: int = 1000
    rate_limit_backup_per_minute: int = 100
    rate_limit_login_per_minute: int = 10
    trusted_proxies: tuple[str, ...] = ()
    """Addresses whose X-Forwarded-For is believed."""
    session_hours: int = 12
    image_folders: tuple[str, ...] = ()
    """Folders from which `file://` images may be fetched."""
    stop_patience_s: int = 20
    """How long running tasks may go on when the agent stops; then they are cut off and undone."""
    tls_cert: str = ""
    tls_key: str = ""
    """PEM files; needed to listen on anything but loopback."""
    websockify_socket: str = ""
    """Unix socket of a console unit that runs by itself (systemd); empty: the agent runs websockify."""
    fail_at: str = ""
    """`<action>:<n>`: the agent kills itself at the n-th step of that action. For fault tests."""

    def __repr__(self) -> str:
        shown = {f: getattr(self, f) for f in self.__struct_fields__ if f != "admin_password"}
        return f"Settings({', '.join(f'{k}={v!r}' for k, v in shown.items())})"

    @property
    def host(self) -> str:
        return split_listen(self.listen)[0]

    @property
    def port(self) -> int:
        return split_listen(self.listen)[1]

    @property
    def peer_host(self) -> str:
        return split_listen(self.peer_listen or self.listen)[0]

    @property
    def peer_port(self) -> int:
        return split_listen(self.peer_listen)[1] if self.peer_listen else self.port % 65535 + 1


def split_listen(listen: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`; Invalid otherwise."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise Invalid(f"listen: expected host:port, got {listen!r}")
    return host.strip("[]"), int(port)


def load_settings(
    toml: Mapping[str, object], environment: Mapping[str, str], flags: Mapping[str, str]
) -> tuple[Settings, dict[str, str]]:
    """The settings and, for each field, where its value came from (`default`, `file`, `environment`, `flag`).

    Invalid names the first wrong or unknown setting. An empty variable counts as not set.
    """
    names = {f.name: f for f in msgspec.structs.fields(Settings)}
    values: dict[str, object] = {}
    origin = dict.fromkeys(names, "default")
    for key, value in toml.items():
        if key not in names:
            raise Invalid(f"the settings file has an unknown setting {key!r}")
        values[key], origin[key] = value, "file"
    for name in names:
        text = environment.get(f"HORCRUX_{name.upper()}", "")
        if text:
            values[name], origin[name] = _parsed(name, text), "environment"
        if name in flags:
            values[name], origin[name] = _parsed(name, flags[name]), "flag"
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as err:
        raise Invalid(f"settings: {err}") from err
    split_listen(settings.listen)
    if settings.peer_listen:
        split_listen(settings.peer_listen)
    return settings, origin


def _parsed(name: str, text: str) -> object:
    if name in {"trusted_proxies", "image_folders"}:
        return [part for part in text.split(":" if name == "image_folders" else ",") if part]
    return text
