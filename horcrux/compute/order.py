"""What a user orders, made into a spec, or refused with every wrong field named.

Pure: what only the host or the store knows (emulators, pools, images) is handed in as `Surroundings`.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from horcrux.compute.cloudinit import check_cloud_init
from horcrux.compute.vm import Architecture, CloudInit, Disk, Nic, VmSpec, sealed
from horcrux.compute.vm_bodies import NewDisk, NewNic, NewVm, VmChange
from horcrux.errors import FieldProblem, InvalidFields
from horcrux.ids import PoolId, VmId
from horcrux.storage.volume import Image, image_place
from horcrux.units import GIB, bytes_to_gib, gib_to_bytes, round_up_to_mib

MAX_CORES = 255
MIN_MEMORY_MB = 16
MAX_MEMORY_MB = 16 * 1024 * 1024
MAX_DISKS = 16
MAX_NICS = 8
MAX_DISK_GB = 65536
NIC_MODELS = ("virtio", "e1000", "e1000e", "rtl8139")

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._,+=-]{0,63}\Z")
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,31}\Z")
_LINK = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}\Z")


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """`architectures` are those this host has an emulator for, the host's own first; `pools` those that hold volumes;
    `images` by (pool, name)."""

    architectures: tuple[Architecture, ...]
    pools: frozenset[str]
    images: Mapping[tuple[str, str], Image]
    bridges: frozenset[str]


class VolumeRef(msgspec.Struct, frozen=True):
    """A volume by its pool and name."""

    pool: PoolId
    name: str


class PlannedDisk(msgspec.Struct, frozen=True, kw_only=True):
    """A disk of the spec, and what it is to be made from: an image of its pool, a copy of a volume, or as a linked clone of
    `disk.base`; else it is empty."""

    disk: Disk
    size_bytes: int
    image: str | None = None
    copy_of: VolumeRef | None = None


class Problems:
    """Collects what is wrong, a field at a time."""

    def __init__(self) -> None:
        self._found: list[FieldProblem] = []

    def add(self, field: str, message: str) -> None:
        self._found.append(FieldProblem(field, message))

    def extend(self, found: Sequence[FieldProblem]) -> None:
        self._found.extend(found)

    def raise_if_any(self) -> None:
        if self._found:
            raise InvalidFields(self._found)


def plan_vm(
    order: NewVm,
    vm_id: VmId,
    around: Surroundings,
    volume_names: Sequence[str],
    new_mac: Callable[[], str],
) -> tuple[VmSpec, tuple[PlannedDisk, ...]]:
    """The spec for `order` and how its disks are made; `volume_names` has one name a disk.

    Raises InvalidFields with every problem found.
    """
    problems = Problems()
    check_sizes(problems, order.cpu_cores, order.memory_mb)
    check_words(problems, order.name, order.machine, order.cpu_model, order.tags, order.notes)
    architecture = order.architecture or around.architectures[0]
    if architecture not in around.architectures:
        known = ", ".join(around.architectures)
        problems.add("architecture", f"this host has no emulator for {architecture}; it has: {known}")
    disks = _plan_disks(problems, order.disks, around, volume_names)
    nics = _plan_nics(problems, order.nics, around, new_mac)
    cdrom = _check_cdrom(problems, order.cdrom, around)
    cloud_init = check_seed(problems, order.cloud_init)
    problems.raise_if_any()
    spec = VmSpec(
        name=order.name or vm_id,
        cpu_cores=order.cpu_cores,
        memory_mb=order.memory_mb,
        architecture=architecture,
        firmware=order.firmware,
        machine=order.machine,
        cpu_model=order.cpu_model,
        disks=tuple(d.disk for d in disks),
        nics=nics,
        cdrom=cdrom,
        cloud_init=cloud_init,
    )
    return spec, disks


_SPEC_FIELDS = ("name", "cpu_cores", "memory_mb", "firmware", "machine", "cpu_model", "cloud_init")


def change_spec(spec: VmSpec, change: VmChange, around: Surroundings, new_mac: Callable[[], str]) -> VmSpec:
    """`spec` with `change` laid over it; InvalidFields with every problem found."""
    problems = Problems()
    values = {f: v for f in _SPEC_FIELDS if (v := getattr(change, f)) is not msgspec.UNSET}
    wanted = msgspec.structs.replace(spec, **values)
    check_sizes(problems, wanted.cpu_cores, wanted.memory_mb)
    tags = () if change.tags is msgspec.UNSET else change.tags
    notes = "" if change.notes is msgspec.UNSET else change.notes
    check_words(problems, wanted.name, wanted.machine, wanted.cpu_model, tags, notes)
    if change.nics is not msgspec.UNSET:
        wanted = msgspec.structs.replace(wanted, nics=_plan_nics(problems, change.nics, around, new_mac))
    if change.cdrom is not msgspec.UNSET:
        wanted = msgspec.structs.replace(wanted, cdrom=_check_cdrom(problems, change.cdrom, around))
    if wanted.cloud_init != spec.cloud_init:
        wanted = msgspec.structs.replace(wanted, cloud_init=check_seed(problems, wanted.cloud_init))
    problems.raise_if_any()
    return wanted


def check_sizes(problems: Problems, cpu_cores: int, memory_mb: int) -> None:
    if not 1 <= cpu_cores <= MAX_CORES:
        problems.add("cpu_cores", f"1 to {MAX_CORES}, got {cpu_cores}")
    if not MIN_MEMORY_MB <= memory_mb <= MAX_MEMORY_MB:
        problems.add("memory_mb", f"{MIN_MEMORY_MB} to {MAX_MEMORY_MB} MiB, got {memory_mb}")


def check_words(
    problems: Problems,
    name: str | None,
    machine: str | None,
    cpu_model: str | None,
    tags: Sequence[str],
    notes: str,
) -> None:
    if name is not None and (not 1 <= len(name) <= 128 or not name.isprintable()):
        problems.add("name", "1 to 128 printable characters")
    for field, word in (("machine", machine), ("cpu_model", cpu_model)):
        if word is not None and not _WORD.match(word):
            problems.add(field, "a word of QEMU's: 1 to 64 letters, digits or '.', '_', ',', '+', '=', '-'")
    if len(tags) > 32:
        problems.add("tags", "at most 32")
    for i, tag in enumerate(tags):
        if not _TAG.match(tag):
            problems.add(f"tags[{i}]", "1 to 32 letters, digits, '.', '_', ':' or '-'")
    if len(notes) > 8192 or "\0" in notes:
        problems.add("notes", "at most 8192 characters, none of them NUL")


def _plan_disks(
    problems: Problems, orders: Sequence[NewDisk], around: Surroundings, volume_names: Sequence[str]
) -> tuple[PlannedDisk, ...]:
    if len(orders) > MAX_DISKS:
        problems.add("disks", f"at most {MAX_DISKS}, got {len(orders)}")
        return ()
    planned = []
    for i, order in enumerate(orders):
        size_bytes = _disk_size(problems, f"disks[{i}]", order, around)
        if size_bytes is None:
            continue
        disk = Disk(
            name=f"disk{i}",
            storage_pool=PoolId(order.storage_pool),
            volume=volume_names[i],
            size_gb=bytes_to_gib(size_bytes),
            bus=order.bus,
            cache=order.cache,
        )
        planned.append(PlannedDisk(disk=disk, size_bytes=size_bytes, image=order.image))
    return tuple(planned)


def _disk_size(problems: Problems, field: str, order: NewDisk, around: Surroundings) -> int | None:
    """Bytes of the disk, None when something about it is wrong (then it has been said)."""
    if order.storage_pool not in around.pools:
        known = ", ".join(sorted(around.pools)) or "none"
        problems.add(f"{field}.storage_pool", f"there is no pool {order.storage_pool!r}; there are: {known}")
        return None
    wanted: int | None = None
    if order.size_gb is not None:
        if not math.isfinite(order.size_gb) or not 0 < order.size_gb <= MAX_DISK_GB:
            problems.add(f"{field}.size_gb", f"more than 0, at most {MAX_DISK_GB} GiB")
            return None
        wanted = gib_to_bytes(order.size_gb)
    if order.image is None:
        if wanted is None:
            problems.add(f"{field}.size_gb", "needed, unless an image is named")
        return wanted
    pool, name = image_place(order.image, order.storage_pool)
    image = around.images.get((pool, name))
    if image is None:
        problems.add(f"{field}.image", f"pool {pool} has no image {name!r} (one of another pool is named POOL/IMAGE)")
        return None
    if image.format == "iso":
        problems.add(f"{field}.image", f"{order.image} is an ISO image: name it as cdrom")
        return None
    if wanted is not None and wanted < image.virtual_size_bytes:
        least = math.ceil(image.virtual_size_bytes * 100 / GIB) / 100
        problems.add(f"{field}.size_gb", f"image {order.image} needs at least {least} GiB")
        return None
    return wanted or round_up_to_mib(image.virtual_size_bytes)


def _plan_nics(
    problems: Problems, orders: Sequence[NewNic] | None, around: Surroundings, new_mac: Callable[[], str]
) -> tuple[Nic, ...]:
    if orders is None:
        return (Nic(mac=new_mac()),)
    if len(orders) > MAX_NICS:
        problems.add("nics", f"at most {MAX_NICS}, got {len(orders)}")
        return ()
    nics: list[Nic] = []
    for i, order in enumerate(orders):
        field = f"nics[{i}]"
        mac = order.mac.lower() if order.mac is not None else new_mac()
        if not _MAC.match(mac) or int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
            problems.add(f"{field}.mac", "six pairs of hex digits with ':' between, not a multicast address")
        elif mac in {n.mac for n in nics}:
            problems.add(f"{field}.mac", f"{mac} is used twice")
        if order.model not in NIC_MODELS:
            problems.add(f"{field}.model", f"one of {', '.join(NIC_MODELS)}")
        _check_attachment(problems, field, order, around)
        nics.append(Nic(mac=mac, model=order.model, bridge=order.bridge, vnet=order.vnet))
    return tuple(nics)


def _check_attachment(problems: Problems, field: str, order: NewNic, around: Surroundings) -> None:
    if order.vnet is not None:
        problems.add(f"{field}.vnet", f"there is no vnet {order.vnet!r}")
    if order.bridge is not None and (not _LINK.match(order.bridge) or order.bridge not in around.bridges):
        known = ", ".join(sorted(around.bridges)) or "none"
        problems.add(f"{field}.bridge", f"this host has no bridge {order.bridge!r}; it has: {known}")


def _check_cdrom(problems: Problems, cdrom: str | None, around: Surroundings) -> str | None:
    """`<pool>/<image>`, also when only the image of pool `local` was named."""
    if cdrom is None:
        return None
    pool, slash, name = cdrom.partition("/")
    if not slash:
        pool, name = "local", cdrom
    image = around.images.get((pool, name))
    if image is None:
        problems.add("cdrom", f"pool {pool} has no image {name!r}")
        return None
    if image.format != "iso":
        problems.add("cdrom", f"{name} is a {image.format} image, not an ISO: name it as the image of a disk")
        return None
    return f"{pool}/{name}"


def check_seed(problems: Problems, wanted: CloudInit | None) -> CloudInit | None:
    if wanted is None:
        return None
    try:
        return check_cloud_init(wanted, "cloud_init")
    except InvalidFields as err:
        problems.extend(err.problems)
        return None


def pending_changes(applied: VmSpec, wanted: VmSpec) -> list[tuple[str, object, object]]:
    """(field, what the running guest has, what is wanted) of all that needs a restart: neither the name nor where the disks lie
    and how large they are, which a running guest is given at once."""
    applied, wanted = sealed(applied), sealed(wanted)
    return [
        (f, getattr(applied, f), getattr(wanted, f))
        for f in VmSpec.__struct_fields__
        if f != "name" and _as_guest_sees(applied, f) != _as_guest_sees(wanted, f)
    ]


def _as_guest_sees(spec: VmSpec, field: str) -> object:
    if field == "disks":
        return [(disk.name, disk.bus, disk.cache) for disk in spec.disks]
    return getattr(spec, field)
