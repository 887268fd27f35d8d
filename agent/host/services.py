"""The services and kernel parts a host offers. Every check is harmless: it reads, or works in a namespace that ends with it."""

import ctypes
import errno
import importlib.util
import os
import shutil
import socket
from importlib import metadata
from pathlib import Path

from agent.host.program import Run
from agent.host.report import Capability, able, unable
from horcrux.units import bytes_to_gib

_GOOD_FREE_GIB = 5.0
_GOOD_MEMORY_MIB = 1024
_TIMEX_BYTES = 256
"""More than `struct timex` needs (208 on 64-bit Linux); zeroed, its `modes` ask for nothing but an answer."""
_TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronised."""


def probe_libvirt(uri: str) -> Capability:
    """Whether libvirt answers on `uri`, and in which version."""
    name = "libvirt"
    try:
        import libvirt
    except ImportError:
        return unable(name, "its Python binding is not installed", "apt install python3-libvirt", needed=True)
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    try:
        connection = libvirt.openReadOnly(uri)
    except libvirt.libvirtError as err:
        remedy = (
            "apt install libvirt-daemon-system, then `systemctl start libvirtd.socket` (without systemd: `libvirtd -d`)"
        )
        return unable(name, f"{uri} does not answer: {err}", remedy, needed=True)
    try:
        number = connection.getLibVersion()
    finally:
        connection.close()
    return able(name, f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000} on {uri}", needed=True)


def probe_virtlogd(root: Path) -> Capability:
    name = "serial logs"
    if (root / "run/libvirt/virtlogd-sock").exists():
        return able(name, "virtlogd answers")
    remedy = "`systemctl start virtlogd.socket` (without systemd: `virtlogd -d`)"
    return unable(name, "virtlogd is not running, so nothing keeps what guests write on their serial lines", remedy)


def probe_qemu_img(run: Run) -> Capability:
    answer = run(["qemu-img", "--version"])
    if answer.ok:
        return able("disk images", answer.output.splitlines()[0], needed=True)
    return unable("disk images", answer.last_line, "apt install qemu-utils", needed=True)


def probe_zfs(root: Path, run: Run) -> Capability:
    """ZFS needs three things: the kernel's module, the programs, and the binding."""
    name = "ZFS"
    if not (root / "sys/module/zfs").exists():
        remedy = "apt install zfs-dkms zfsutils-linux, then `modprobe zfs`; directory pools work without it"
        return unable(name, "the kernel has no ZFS module loaded", remedy)
    answer = run(["zfs", "version"])
    if not answer.ok:
        return unable(name, f"the module is there, but {answer.last_line}", "apt install zfsutils-linux")
    if importlib.util.find_spec("libzfs_core") is None:
        return unable(name, "its Python binding is not installed", "apt install python3-pyzfs (in contrib)")
    return able(name, answer.output.split()[0])


def probe_nftables(run: Run) -> Capability:
    """The kernel answers a list of tables."""
    name = "nftables"
    answer = run(["nft", "--json", "list", "tables"])
    if not answer.ok:
        if shutil.which("nft") is None:
            return unable(name, "nft is not installed", "apt install nftables python3-nftables")
        return unable(name, f"the kernel refuses it: {answer.last_line}", "run as root, on a kernel with nf_tables")
    if importlib.util.find_spec("nftables") is None:
        return unable(name, "its Python binding is not installed", "apt install python3-nftables")
    return able(name, "the kernel answers")


def probe_links(run: Run) -> list[Capability]:
    """Bridges and VXLAN are made in a network namespace of their own, that ends with the check."""
    kinds = {"bridge": ["type", "bridge"], "vxlan": ["type", "vxlan", "id", "1", "dstport", "4789"]}
    namespace = run(["unshare", "--net", "true"])
    remedy = "run as root, on a kernel with network namespaces"
    findings = [
        able("network namespaces", "can be made")
        if namespace.ok
        else unable("network namespaces", namespace.last_line, remedy)
    ]
    for kind, words in kinds.items():
        if not namespace.ok:
            findings.append(unable(kind, "cannot be tried without a network namespace", remedy))
            continue
        answer = run(["unshare", "--net", "ip", "link", "add", "probe0", *words])
        findings.append(
            able(kind, "can be made") if answer.ok else unable(kind, answer.last_line, f"`modprobe {kind}`")
        )
    return findings


def probe_websockify() -> Capability:
    """The console's transport is a program of its own, from the same environment."""
    if importlib.util.find_spec("websockify") is None:
        return unable("screens in the browser", "websockify is not installed", "pip install websockify")
    return able("screens in the browser", f"websockify {metadata.version('websockify')}")


def probe_clock() -> Capability:
    """Whether something keeps the clock right, whoever it is (adjtimex(2))."""
    name = "clock"
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    if state in {-1, _TIME_ERROR}:
        reason = "the kernel may not be asked" if state == -1 else "nothing keeps it in step with the world"
        return unable(name, reason, "apt install systemd-timesyncd or chrony; a cluster needs clocks that agree")
    return able(name, "synchronised")


def probe_room(state_dir: Path) -> tuple[float, Capability]:
    """Free GiB where the state folder is, or will be."""
    there = next(p for p in (state_dir, *state_dir.parents) if p.exists())
    free_gib = bytes_to_gib(shutil.disk_usage(there).free)
    detail = f"{free_gib:g} GiB free in {state_dir}"
    if free_gib < _GOOD_FREE_GIB:
        remedy = "make room, or set HORCRUX_STATE_DIR to a larger disk"
        return free_gib, unable("room for disks", f"under {_GOOD_FREE_GIB:g} GiB are free", remedy, detail=detail)
    return free_gib, able("room for disks", detail)


def read_memory(root: Path) -> tuple[int, int]:
    """MiB in all, MiB that guests could have."""
    lines = (root / "proc/meminfo").read_text().splitlines()
    kib = {key: int(value.split()[0]) for key, _, value in (line.partition(":") for line in lines)}
    return kib["MemTotal"] // 1024, kib.get("MemAvailable", kib["MemFree"]) // 1024


def probe_memory(available_mib: int) -> Capability:
    detail = f"{available_mib} MiB available"
    if available_mib < _GOOD_MEMORY_MIB:
        return unable("memory", f"under {_GOOD_MEMORY_MIB} MiB are available", "end what is not needed", detail=detail)
    return able("memory", detail)


def probe_port(host: str, port: int) -> Capability:
    """Whether an agent could listen there now; nothing is left listening."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as err:
            if err.errno == errno.EADDRINUSE:
                remedy = "set HORCRUX_LISTEN to another port, or end the program that has it (`ss -ltnp`)"
                return unable("port", f"{host}:{port} is taken by another program", remedy)
            return unable("port", f"{host}:{port}: {err.strerror}", "set HORCRUX_LISTEN to an address of this host")
    return able("port", f"{host}:{port} is free")


def probe_rights() -> Capability:
    if os.geteuid() == 0:
        return able("rights", "runs as root")
    return unable("rights", f"runs as user {os.geteuid()}", "run the agent as root: networks and firewall need it")
