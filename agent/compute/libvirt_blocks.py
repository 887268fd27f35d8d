"""Work on the disks of running guests, by libvirt's block jobs (libvirt.org/html/libvirt-libvirt-domain.html).

A copy survives our end and libvirtd's: QEMU runs it, and libvirt finds it again. The definition follows a switch by itself
(qemuBlockJobProcessEventConcludedCopyPivot in libvirt 9.0), which is what `disk_path` of a stopped guest rests on.
"""

import xml.etree.ElementTree as ET

import libvirt

from agent.compute.driver import DiskCopy
from agent.compute.libvirt import LibvirtHypervisor
from agent.compute.libvirt_states import state_of
from horcrux.compute.disk_source import add_source
from horcrux.compute.domain import DomainDisk
from horcrux.compute.vm import RunState
from horcrux.errors import Conflict, NotFound
from horcrux.ids import VmId

_COPY = libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT | libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB
"""The target has been made by its pool. Transient: a copy does not outlive the guest, whose definition stays."""


class LibvirtBlockJobs:
    """Implements BlockJobs."""

    def __init__(self, hypervisor: LibvirtHypervisor) -> None:
        self._hypervisor = hypervisor

    async def disk_path(self, vm_id: VmId, disk: str) -> str:
        return await self._hypervisor.on_guest(vm_id, lambda guest: _path_of(_disk(guest, vm_id, disk)))

    async def start_copy(self, vm_id: VmId, disk: str, target: DomainDisk) -> None:
        xml = _target_xml(target)

        def work(guest: libvirt.virDomain) -> None:
            _require_life(guest, vm_id)
            element = _disk(guest, vm_id, disk)
            if element.find("mirror") is not None:
                raise Conflict(f"{disk} of {vm_id} is being copied already")
            guest.blockCopy(_device(element), xml, {}, _COPY)

        await self._hypervisor.on_guest(vm_id, work)

    async def look_at_copy(self, vm_id: VmId, disk: str) -> DiskCopy | None:
        def work(guest: libvirt.virDomain) -> DiskCopy | None:
            element = _disk(guest, vm_id, disk)
            mirror = element.find("mirror")
            if mirror is None or not _lives(guest):
                return None
            job = guest.blockJobInfo(_device(element))
            is_ready = mirror.get("ready") == "yes"
            return DiskCopy(done_bytes=job.get("cur", 0), total_bytes=job.get("end", 0), is_ready=is_ready)

        return await self._hypervisor.on_guest(vm_id, work)

    async def switch(self, vm_id: VmId, disk: str) -> None:
        def work(guest: libvirt.virDomain) -> None:
            _require_life(guest, vm_id)
            element = _disk(guest, vm_id, disk)
            mirror = element.find("mirror")
            if mirror is None or mirror.get("ready") != "yes":
                raise Conflict(f"no copy of {disk} of {vm_id} is ready")
            guest.blockJobAbort(_device(element), libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)

        await self._hypervisor.on_guest(vm_id, work)

    async def drop_copy(self, vm_id: VmId, disk: str) -> None:
        def work(guest: libvirt.virDomain) -> None:
            element = _disk(guest, vm_id, disk)
            if element.find("mirror") is None or not _lives(guest):
                return
            try:
                guest.blockJobAbort(_device(element), 0)
            except libvirt.libvirtError:
                # It may have ended by itself since we looked.
                if _lives(guest) and _disk(guest, vm_id, disk).find("mirror") is not None:
                    raise

        await self._hypervisor.on_guest(vm_id, work)

    async def grow_disk(self, vm_id: VmId, disk: str, capacity_bytes: int) -> None:
        def work(guest: libvirt.virDomain) -> None:
            _require_life(guest, vm_id)
            device = _device(_disk(guest, vm_id, disk))
            guest.blockResize(device, capacity_bytes, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)

        await self._hypervisor.on_guest(vm_id, work)


def _disk(guest: libvirt.virDomain, vm_id: VmId, disk: str) -> ET.Element:
    """The disk's element: of the running guest, or of the definition when it does not run."""
    root = ET.fromstring(guest.XMLDesc(0))  # noqa: S314 - libvirt's own words, from a local socket of root's
    for element in root.iterfind("devices/disk"):
        alias = element.find("alias")
        if alias is not None and alias.get("name") == f"ua-{disk}":
            return element
    raise NotFound(f"VM {vm_id} has no disk {disk}", vm=vm_id, disk=disk)


def _device(element: ET.Element) -> str:
    target = element.find("target")
    return "" if target is None else target.get("dev", "")


def _path_of(element: ET.Element) -> str:
    """As in `Volume.path`."""
    source = element.find("source")
    if source is None:
        return ""
    if (protocol := source.get("protocol")) is not None:
        return f"{protocol}:{source.get('name', '')}"
    return source.get("file") or source.get("dev") or ""


def _target_xml(target: DomainDisk) -> str:
    """Only where it is and in which format: how it is opened (cache, discard) stays as the disk has it."""
    element = ET.Element("disk", type=target.kind)
    ET.SubElement(element, "driver", name="qemu", type=target.format)
    add_source(element, target)
    ET.SubElement(element, "backingStore")
    return ET.tostring(element, encoding="unicode")


def _lives(guest: libvirt.virDomain) -> bool:
    return state_of(*guest.state())[0] in {RunState.RUNNING, RunState.PAUSED}


def _require_life(guest: libvirt.virDomain, vm_id: VmId) -> None:
    state = state_of(*guest.state())[0]
    if state not in {RunState.RUNNING, RunState.PAUSED}:
        raise Conflict(f"VM {vm_id} does not run: it is {state}", state=str(state))
