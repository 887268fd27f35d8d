"""What `zpool status -pP` and `zpool list -Hp` print, read and judged (zpool_main.c: print_status_config, print_scan_status)."""

import re

import msgspec

from horcrux.storage.pool import Health

FULL_PERCENT = 90
"""From here on ZFS looks for space more than it writes."""
FILLING_PERCENT = 80

_HEAD = re.compile(r" *(pool|state|status|action|see|scan|scrub|remove|checkpoint|config|errors|dedup):(?: (.*))?\Z")
_DEVICE = re.compile(r"(\s*)(\S+)\s+([A-Z]+)(?:\s+(\d+|-)\s+(\d+|-)\s+(\d+|-))?(?:\s+(.*))?\Z")
_SCAN_ERRORS = re.compile(r"with (\d+) errors")
_GROUPS = re.compile(
    r"(?:mirror|raidz\d?|draid\S*|spare|replacing|logs|cache|spares|special|dedup|indirect)(?:-\d+)?\Z"
)
_WORKING = frozenset({"ONLINE", "AVAIL", "INUSE"})
_DEAD = frozenset({"FAULTED", "UNAVAIL", "SUSPENDED", "REMOVED"})


class ZpoolDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A disk, or what groups disks. `note` is what ZFS says beside it (`was /dev/sdb1`, `too many errors`)."""

    name: str
    state: str
    depth: int
    read_errors: int = 0
    write_errors: int = 0
    checksum_errors: int = 0
    note: str = ""

    @property
    def is_disk(self) -> bool:
        return self.depth > 0 and not _GROUPS.match(self.name)

    @property
    def label(self) -> str:
        """A disk that is gone is listed by its guid, with its path in the note."""
        path = self.note.removeprefix("was ").split()[:1] if self.note.startswith("was ") else []
        return path[0] if path else self.name


class ZpoolStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One zpool. `devices[0]` is the zpool itself, when ZFS listed any."""

    name: str
    state: str
    status: str = ""
    scan: str = ""
    errors: str = ""
    devices: tuple[ZpoolDevice, ...] = ()


class ZpoolSpace(msgspec.Struct, frozen=True, kw_only=True):
    """Raw bytes: redundancy counts, as `zpool list` has them."""

    name: str
    size_bytes: int
    free_bytes: int
    capacity_percent: int
    health: str


def parse_status(text: str) -> tuple[ZpoolStatus, ...]:
    """Every zpool in the answer, in its order; nothing for an answer without one."""
    found: list[dict[str, list[str]]] = []
    key = ""
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head is not None:
            key = head[1]
            if key == "pool":
                found.append({})
            if found:
                found[-1].setdefault(key, []).append(head[2] or "")
        elif found and key:
            found[-1][key].append(line)
    return tuple(_status(sections) for sections in found)


def _status(sections: dict[str, list[str]]) -> ZpoolStatus:
    def words(key: str) -> str:
        return " ".join(" ".join(sections.get(key, [])).split())

    return ZpoolStatus(
        name=words("pool"),
        state=words("state") or "UNKNOWN",
        status=words("status"),
        scan=words("scan"),
        errors=" ".join(sections.get("errors", [""])[0].split()),
        devices=tuple(_devices(sections.get("config", []))),
    )


def _devices(lines: list[str]) -> list[ZpoolDevice]:
    devices = []
    for line in lines:
        match = _DEVICE.match(line.removeprefix("\t"))
        if match is None or match[2] == "NAME":
            continue
        read, write, checksum = (0 if n in (None, "-") else int(n) for n in match.group(4, 5, 6))
        device = ZpoolDevice(
            name=match[2],
            state=match[3],
            depth=len(match[1]) // 2,
            read_errors=read,
            write_errors=write,
            checksum_errors=checksum,
            note=(match[7] or "").strip(),
        )
        devices.append(device)
    return devices


def parse_space(text: str) -> tuple[ZpoolSpace, ...]:
    """Of `zpool list -Hp -o name,size,free,capacity,health`; what cannot be told (`-`, of a faulted zpool) is 0."""
    rows = (line.split("\t") for line in text.splitlines() if line.count("\t") == 4)
    return tuple(
        ZpoolSpace(
            name=name,
            size_bytes=_number(size),
            free_bytes=_number(free),
            capacity_percent=_number(capacity.rstrip("%")),
            health=health,
        )
        for name, size, free, capacity, health in rows
    )


def _number(word: str) -> int:
    return int(word) if word.isdigit() else 0


def health_of(status: ZpoolStatus, capacity_percent: int = 0) -> Health:
    """The worst of what is known."""
    if status.state in _DEAD:
        return Health.FAULTED
    is_whole = status.state == "ONLINE" and not problems_of(status) and capacity_percent < FULL_PERCENT
    return Health.GOOD if is_whole else Health.DEGRADED


def problems_of(status: ZpoolStatus, capacity_percent: int = 0) -> tuple[str, ...]:
    """A sentence for each thing that somebody has to look after, the worst first."""
    name = status.name
    found = []
    if status.state == "SUSPENDED":
        found.append(f"zpool {name} is suspended: its disks do not answer, and whoever writes to it waits")
    elif status.state in _DEAD:
        found.append(f"zpool {name} is {status.state}: {status.status or 'too many of its disks are gone'}")
    if status.errors and status.errors != "No known data errors" and status.state != "SUSPENDED":
        found.append(f"zpool {name} has damaged data: {status.errors}")
    found += [_missing(name, d) for d in status.devices if d.is_disk and d.state not in _WORKING]
    found += [_erring(name, d) for d in status.devices if d.is_disk and _errors(d)]
    scan = _SCAN_ERRORS.search(status.scan)
    if scan is not None and int(scan[1]):
        found.append(f"the last scrub of zpool {name} met {scan[1]} errors")
    if status.scan.startswith("resilver in progress"):
        found.append(f"zpool {name} is being resilvered; until then it lacks redundancy")
    if not found and status.state not in ("ONLINE", "UNKNOWN"):
        found.append(f"zpool {name} is {status.state}: {status.status}".removesuffix(": "))
    if capacity_percent >= FILLING_PERCENT:
        found.append(f"zpool {name} is {capacity_percent} % full; ZFS gets slow above {FILLING_PERCENT} %")
    return tuple(found)


def _missing(zpool: str, device: ZpoolDevice) -> str:
    note = f" ({device.note})" if device.note and not device.note.startswith("was ") else ""
    return f"disk {device.label} of zpool {zpool} is {device.state}{note}"


def _errors(device: ZpoolDevice) -> int:
    return device.read_errors + device.write_errors + device.checksum_errors


def _erring(zpool: str, device: ZpoolDevice) -> str:
    return (
        f"disk {device.label} of zpool {zpool} has met {device.read_errors} read, {device.write_errors} write and "
        f"{device.checksum_errors} checksum errors"
    )
