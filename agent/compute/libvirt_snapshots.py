"""Snapshots of guests on libvirt and QEMU: the ability beside `LibvirtHypervisor`.

Disks: QEMU's own internal snapshots, by its monitor. libvirt's are no use here: with internal ones it always saves the memory
into the disk, with external ones it puts a new file on top of each, and can neither revert nor delete those (libvirt 9.0).
Memory: libvirt's external memory snapshot of a paused guest, which leaves it paused: the file that `virsh restore` takes.
Freeze and hold: watched by a process of its own (`thaw_guard.py`) that outlives us.
"""

import asyncio
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import libvirt
import libvirt_qemu
import msgspec

from agent.compute.guard import Guard, start_guard
from agent.compute.libvirt import LibvirtHypervisor
from agent.compute.libvirt_states import state_of
from horcrux.compute.domain import domain_name
from horcrux.compute.lifecycle import Verb, require
from horcrux.compute.vm import ALIVE, RunState
from horcrux.errors import AlreadyExists, Conflict, HorcruxError, NotFound, Unavailable
from horcrux.ids import NodeId, VmId

log = logging.getLogger(__name__)

FREEZE_LIMIT_S = 10
"""Longer than the guest needs to write out what it has cached, shorter than what watches it."""
FROZEN_LIMIT_S = 15
AGENT_CHANNEL = "org.qemu.guest_agent.0"
PING_LIMIT_S = 3

_GONE = "does not exist on device"
_TAKEN = "already exists on device"


class _Inserted(msgspec.Struct):
    node: str = msgspec.field(name="node-name")


class _Block(msgspec.Struct):
    qdev: str = ""
    inserted: _Inserted | None = None


class LibvirtSnapshots:
    """Implements GuestSnapshots. `uri` is libvirt's, for the guards."""

    def __init__(self, hypervisor: LibvirtHypervisor, node_id: NodeId, uri: str = "qemu:///system") -> None:
        self._hypervisor = hypervisor
        self._node_id = node_id
        self._uri = uri
        self._guards: dict[tuple[VmId, str], Guard] = {}

    async def has_agent(self, vm_id: VmId) -> bool:
        return await self._hypervisor.on_guest(vm_id, _has_agent)

    async def freeze(self, vm_id: VmId) -> None:
        await self._hypervisor.on_guest(vm_id, _check_connected)
        await self._guard(vm_id, "thaw", FROZEN_LIMIT_S)
        await self._hypervisor.on_guest(vm_id, _freeze)

    async def thaw(self, vm_id: VmId) -> bool:
        was_frozen = (vm_id, "thaw") in self._guards
        thawed = await self._hypervisor.on_guest(vm_id, lambda guest: _thaw(guest, was_frozen=was_frozen))
        await self._dismiss(vm_id, "thaw")
        return thawed

    async def hold(self, vm_id: VmId) -> None:
        require((await self._hypervisor.look(vm_id)).state, Verb.PAUSE, vm_id)
        await self._guard(vm_id, "resume", None)
        try:
            await self._hypervisor.pause(vm_id)
        except HorcruxError:
            await self._dismiss(vm_id, "resume")
            raise

    async def release(self, vm_id: VmId) -> None:
        await self._hypervisor.on_guest(vm_id, _release)
        await self._dismiss(vm_id, "resume")

    async def snapshot_disks(self, vm_id: VmId, disks: Sequence[str], snapshot: str) -> None:
        await self._hypervisor.on_guest(vm_id, lambda guest: _snapshot(guest, vm_id, disks, snapshot))

    async def delete_disk_snapshots(self, vm_id: VmId, disks: Sequence[str], snapshot: str) -> None:
        def work(guest: libvirt.virDomain) -> None:
            nodes = _nodes(guest, vm_id, disks)
            for node in nodes:
                try:
                    _monitor(guest, "blockdev-snapshot-delete-internal-sync", {"device": node, "name": snapshot})
                except _MonitorError as err:
                    if _GONE not in str(err):
                        raise _refused(guest, vm_id, snapshot, err) from err

        await self._hypervisor.on_guest(vm_id, work)

    async def save_memory(self, vm_id: VmId, path: str) -> None:
        saving = asyncio.ensure_future(self._hypervisor.on_guest(vm_id, lambda guest: _save(guest, vm_id, path)))
        try:
            await asyncio.shield(saving)
        except asyncio.CancelledError:
            await self._hypervisor.on_guest(vm_id, _abort)
            await asyncio.wait([saving])
            if not saving.cancelled():
                saving.exception()  # looked at, so that asyncio does not report it as forgotten
            raise

    async def restore_memory(self, vm_id: VmId, path: str) -> None:
        await self._hypervisor.on_guest(vm_id, lambda guest: _restore(guest, vm_id, path))

    async def _guard(self, vm_id: VmId, act: str, limit_s: int | None) -> None:
        await self._dismiss(vm_id, act)
        guard = await start_guard(self._uri, domain_name(self._node_id, vm_id), act, limit_s)
        self._guards[vm_id, act] = guard

    async def _dismiss(self, vm_id: VmId, act: str) -> None:
        guard = self._guards.pop((vm_id, act), None)
        if guard is not None:
            await guard.dismiss()


# What follows runs on a thread of the link.


class _MonitorError(Exception):
    """QEMU refused a command of its monitor."""


def _monitor(guest: libvirt.virDomain, command: str, arguments: dict[str, object]) -> object:
    words = json.dumps({"execute": command, "arguments": arguments})
    answer = json.loads(libvirt_qemu.qemuMonitorCommand(guest, words, 0))
    if "error" in answer:
        raise _MonitorError(str(answer["error"].get("desc", answer["error"])))
    return answer["return"]


def _nodes(guest: libvirt.virDomain, vm_id: VmId, disks: Sequence[str]) -> list[str]:
    """The name that QEMU has for what is in each disk now: a copy to another pool changes it."""
    state = state_of(*guest.state())[0]
    if state not in ALIVE:
        raise Conflict(f"the disks of {vm_id} are not open in a guest: it is {state}", state=str(state))
    blocks = msgspec.convert(_monitor(guest, "query-block", {}), list[_Block])
    nodes = {part: block.inserted.node for block in blocks if block.inserted for part in block.qdev.split("/")}
    missing = [disk for disk in disks if f"ua-{disk}" not in nodes]
    if missing:
        raise NotFound(f"the guest of {vm_id} runs without {', '.join(missing)}; restart it first", vm=vm_id)
    return [nodes[f"ua-{disk}"] for disk in disks]


def _snapshot(guest: libvirt.virDomain, vm_id: VmId, disks: Sequence[str], snapshot: str) -> None:
    """One transaction: QEMU takes back those it has made when one cannot be (blockdev.c)."""
    actions: list[object] = [
        {"type": "blockdev-snapshot-internal-sync", "data": {"device": node, "name": snapshot}}
        for node in _nodes(guest, vm_id, disks)
    ]
    try:
        _monitor(guest, "transaction", {"actions": actions})
    except _MonitorError as err:
        if _TAKEN in str(err):
            raise AlreadyExists(f"{vm_id}: {err}", vm=vm_id, snapshot=snapshot) from err
        raise _refused(guest, vm_id, snapshot, err) from err


def _refused(guest: libvirt.virDomain, vm_id: VmId, snapshot: str, err: _MonitorError) -> HorcruxError:
    """A guest that was paused when its memory was kept has its disks closed until it goes on."""
    words = f"{vm_id}: QEMU refuses snapshot {snapshot}: {err}"
    if state_of(*guest.state())[0] is RunState.PAUSED:
        return Conflict(f"{words}; resume the VM once, and pause it again", vm=vm_id)
    return Unavailable(words, vm=vm_id)


def _has_agent(guest: libvirt.virDomain) -> bool:
    if not guest.isActive() or not _is_connected(guest):
        return False
    try:
        libvirt_qemu.qemuAgentCommand(guest, '{"execute":"guest-ping"}', PING_LIMIT_S, 0)
    except libvirt.libvirtError as err:
        log.debug("%s: the guest agent does not answer: %s", guest.name(), err)
        return False
    return True


def _is_connected(guest: libvirt.virDomain) -> bool:
    """Whether somebody in the guest has opened the agent's channel (QEMU tells libvirt)."""
    targets = ET.fromstring(guest.XMLDesc(0)).iterfind("devices/channel/target")  # noqa: S314 - libvirt's own answer
    return any(t.get("name") == AGENT_CHANNEL and t.get("state") == "connected" for t in targets)


def _check_connected(guest: libvirt.virDomain) -> None:
    """Who is not there freezes nothing, and need not be told to let go. Unavailable."""
    if not guest.isActive() or not _is_connected(guest):
        raise Unavailable(f"{guest.name()}: no guest agent is connected")


def _freeze(guest: libvirt.virDomain) -> None:
    guest.agentSetResponseTimeout(FREEZE_LIMIT_S)
    try:
        guest.fsFreeze()
    except libvirt.libvirtError as err:
        raise Unavailable(f"{guest.name()}: {err.get_error_message()}") from err


def _thaw(guest: libvirt.virDomain, *, was_frozen: bool) -> bool:
    """`was_frozen`: by us, and nobody has let it go since. Then an agent that is not there now has not thawed anything."""
    if state_of(*guest.state())[0] not in ALIVE:
        return False
    if not _is_connected(guest):
        if was_frozen:
            raise Unavailable(
                f"{guest.name()}: its file systems stand still, and its agent is not connected to be told"
            )
        return False
    guest.agentSetResponseTimeout(FREEZE_LIMIT_S)
    return bool(guest.fsThaw() > 0)


def _release(guest: libvirt.virDomain) -> None:
    _abort(guest)
    if state_of(*guest.state())[0] is RunState.PAUSED:
        guest.resume()


def _abort(guest: libvirt.virDomain) -> None:
    """What an earlier life, or a cancelled task, has libvirt write for it is given up."""
    if guest.isActive() and guest.jobInfo()[0] != libvirt.VIR_DOMAIN_JOB_NONE:
        try:
            guest.abortJob()
        except libvirt.libvirtError as err:
            log.debug("%s: its job had ended when it was given up: %s", guest.name(), err)


def _save(guest: libvirt.virDomain, vm_id: VmId, path: str) -> None:
    state = state_of(*guest.state())[0]
    if state is not RunState.PAUSED:
        raise Conflict(f"the memory of {vm_id} can be saved only while it is paused: it is {state}", state=str(state))
    Path(path).unlink(missing_ok=True)
    order = ET.Element("domainsnapshot")
    ET.SubElement(order, "memory", snapshot="external", file=path)
    disks = ET.SubElement(order, "disks")
    for target in ET.fromstring(guest.XMLDesc(0)).iterfind("devices/disk/target"):  # noqa: S314 - libvirt's own answer
        ET.SubElement(disks, "disk", name=str(target.get("dev")), snapshot="no")
    flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
    guest.snapshotCreateXML(ET.tostring(order, encoding="unicode"), flags)


def _restore(guest: libvirt.virDomain, vm_id: VmId, path: str) -> None:
    if guest.isActive():
        raise Conflict(f"the memory of {vm_id} can be brought back only while it is stopped", vm=vm_id)
    if not Path(path).exists():
        raise Unavailable(f"the memory that was kept of {vm_id} is gone: {path}", vm=vm_id)
    try:
        guest.connect().restoreFlags(path, None, libvirt.VIR_DOMAIN_SAVE_RUNNING)
    except libvirt.libvirtError as err:
        words = f"the memory that was kept of {vm_id} cannot be used: {err.get_error_message()}"
        raise Unavailable(words, vm=vm_id) from err
