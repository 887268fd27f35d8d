"""How a VM's document changes when one of its disks moves or grows. Pure; true once the document has been replaced.

at the old volume --begin_switch (the guest may open the new one any time now)--> `moving` --moved--> at the new volume
                                                                        '--not_moved--> at the old volume
"""

from msgspec.structs import replace

from horcrux.compute.settled import check_settled
from horcrux.compute.snapshot import check_no_snapshots
from horcrux.compute.vm import Disk, VmDocument
from horcrux.errors import NotFound, invalid_field
from horcrux.ids import PoolId
from horcrux.storage.volume import Volume
from horcrux.units import bytes_to_gib


def disk_of(document: VmDocument, name: str) -> Disk:
    """NotFound."""
    for disk in document.spec.disks:
        if disk.name == name:
            return disk
    raise NotFound(f"VM {document.id} has no disk {name}", kind="disk", vm=document.id, id=name)


def check_can_move(document: VmDocument, name: str, pool: str) -> Disk:
    """The disk, when it may be moved to `pool`. NotFound, Invalid, InUse (snapshots)."""
    disk = disk_of(document, name)
    if disk.storage_pool == pool:
        raise invalid_field("storage_pool", f"{name} is in pool {pool} already")
    check_settled(document)
    check_no_snapshots(document, f"move {name}")
    return disk


def begin_switch(document: VmDocument, name: str, pool: str, volume: str) -> VmDocument:
    return replace(document, moving={**document.moving, name: f"{pool}/{volume}"})


def not_moved(document: VmDocument, name: str) -> VmDocument:
    return replace(document, moving={disk: to for disk, to in document.moving.items() if disk != name})


def moved(document: VmDocument, name: str, volume: Volume) -> VmDocument:
    """The disk is that volume, which stands on no other."""
    disk = replace(
        disk_of(document, name),
        storage_pool=PoolId(volume.pool),
        volume=volume.name,
        format=volume.format,
        size_gb=bytes_to_gib(volume.capacity_bytes),
        base=None,
    )
    return not_moved(_with(document, disk), name)


def grown(document: VmDocument, name: str, volume: Volume) -> VmDocument:
    """The disk is as large as its volume."""
    return _with(document, replace(disk_of(document, name), size_gb=bytes_to_gib(volume.capacity_bytes)))


def _with(document: VmDocument, disk: Disk) -> VmDocument:
    disks = tuple(disk if one.name == disk.name else one for one in document.spec.disks)
    return replace(document, spec=replace(document.spec, disks=disks))
