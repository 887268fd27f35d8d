"""Templates: what VMs are cloned from. A template never changes once it is ready.

    copy of a VM:    creating (volumes are copied, then made bases) -> ready -> deleting
                     cut off before `ready`: what the document names is removed, then the document
    VM turned into:  the VM's document goes as the template's comes (one transaction) -> creating (volumes get their new
                     names) -> ready -> deleting; cut off on the way: the same steps again, to the end

What belongs to one machine is not taken along: MAC addresses, the UUID, the ISO image in the drive and, of cloud-init,
user-data (passwords) and network (addresses). User and SSH keys of cloud-init stay.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from horcrux.compute.vm import CloudInit, Disk, DiskBus, DiskCache, Nic, Phase, VmDocument, VmSpec
from horcrux.ids import NodeId, PoolId, TaskId, VmId, check_name
from horcrux.storage.volume import Volume
from horcrux.units import bytes_to_gib

_PREFIX = "tmpl-"


class TemplateNic(msgspec.Struct, frozen=True, kw_only=True):
    """A network card without its address: each clone gets its own."""

    model: str
    bridge: str | None = None
    vnet: str | None = None


class TemplateDisk(msgspec.Struct, frozen=True, kw_only=True):
    """A volume that clones begin from."""

    name: str
    storage_pool: PoolId
    volume: str
    size_bytes: int
    bus: DiskBus = DiskBus.VIRTIO
    cache: DiskCache = DiskCache.NONE
    format: str = "qcow2"
    base: str | None = None
    """The volume of another template that this one stands on itself."""
    made_of: str | None = None
    """While the template is being made: the name that its volume has until it is a base."""

    @property
    def size_gb(self) -> float:
        return bytes_to_gib(self.size_bytes)


class TemplateDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Kind `template` in the Store. Its revision moves only while it is made or deleted."""

    id: str
    uuid: str
    """Made once, so that an id used again is another template."""
    name: str
    source_vm: VmId
    node: NodeId
    user: str
    """Who made it."""
    phase: Phase = Phase.READY
    operation: TaskId | None = None
    """The task that makes or deletes it; a reference only, ignored once that task is over."""
    spec: VmSpec
    """Of the machine, without disks, cards and image."""
    nics: tuple[TemplateNic, ...] = ()
    disks: tuple[TemplateDisk, ...] = ()
    tags: tuple[str, ...] = ()
    notes: str = ""
    created_at: float


def template_id(vm_id: VmId, wanted: str | None) -> str:
    """`wanted`, else `tmpl-100` for `vm-100` and `tmpl-<id>` for other ids; InvalidFields when it cannot be one."""
    return check_name(_PREFIX + vm_id.removeprefix("vm-") if wanted is None else wanted, "id")


def base_name(template: str, disk: str) -> str:
    """`base-100-disk0` for disk0 of `tmpl-100`."""
    return f"base-{template.removeprefix(_PREFIX)}-{disk}"


def nvram_file(state_dir: str, template: str) -> str:
    """Its firmware variables, in a folder of their own: a VM may be called as a template is."""
    return f"{state_dir}/nvram/templates/{template}.fd"


def general_spec(spec: VmSpec) -> VmSpec:
    """`spec` without what belongs to one machine, or is kept beside it (disks, cards)."""
    seed = spec.cloud_init
    if seed is not None:
        seed = CloudInit(user=seed.user, ssh_keys=seed.ssh_keys)
    return msgspec.structs.replace(spec, disks=(), nics=(), cdrom=None, cloud_init=seed)


def general_nics(nics: Sequence[Nic]) -> tuple[TemplateNic, ...]:
    return tuple(TemplateNic(model=nic.model, bridge=nic.bridge, vnet=nic.vnet) for nic in nics)


def disk_as_it_is(disk: Disk, volume: Volume) -> TemplateDisk:
    """The VM's own volume as something to begin from."""
    return TemplateDisk(
        name=disk.name,
        storage_pool=disk.storage_pool,
        volume=disk.volume,
        size_bytes=volume.capacity_bytes,
        bus=disk.bus,
        cache=disk.cache,
        format=volume.format,
        base=disk.base,
    )


def volumes_of(template: TemplateDocument) -> frozenset[tuple[PoolId, str]]:
    """(pool, name) of its volumes."""
    return frozenset((disk.storage_pool, disk.volume) for disk in template.disks)


def bases_of(disks: Iterable[Disk | TemplateDisk]) -> frozenset[tuple[PoolId, str]]:
    """(pool, name) of the volumes that linked clones among `disks` stand on."""
    return frozenset((disk.storage_pool, disk.base) for disk in disks if disk.base is not None)


def standing_on(
    template: TemplateDocument, vms: Iterable[VmDocument], templates: Iterable[TemplateDocument]
) -> Mapping[str, str]:
    """What keeps it from being deleted, by id, with the reason: linked clones (VMs, and templates made of such), and VMs that
    are being made from it."""
    own, found = volumes_of(template), {}
    for vm in vms:
        if bases_of(vm.spec.disks) & own:
            found[str(vm.id)] = "linked clone"
        elif vm.phase is Phase.CREATING and vm.template == template.id:
            found[str(vm.id)] = "being made from it"
    for other in templates:
        if other.id != template.id and bases_of(other.disks) & own:
            found[other.id] = "template made of a linked clone"
    return dict(sorted(found.items()))
