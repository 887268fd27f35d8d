"""What is known of every VM: its document (from the replica) beside what the hypervisor sees of it.

Lists never touch the store or the hypervisor: each VM's row is kept as encoded JSON and made anew only when that VM
changes. Every such change is published once as a `vm` event.

    replica --on_change--> document -.
                                      >-- row (encoded) --> list, event stream
    hypervisor --watch---> seen ----'
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping

import msgspec

from agent.compute.driver import Hypervisor, Sighting
from agent.events import Publisher
from cluster.store.replica import Replica
from horcrux.auth.permission import Scope
from horcrux.clock import Clock
from horcrux.compute.vm import Phase, RunState, VmDocument, VmSeen
from horcrux.compute.vm_bodies import VmListItem
from horcrux.errors import NotFound
from horcrux.ids import TaskId, VmId
from horcrux.storage.volume import VolumeUse
from horcrux.store import Collection, Document, Entry

log = logging.getLogger(__name__)

CATCH_UP_S = 2.0


class Known(msgspec.Struct, kw_only=True):
    """One VM. `marked` is a state that a task of ours puts over what is seen (stopping)."""

    document: Document[VmDocument]
    seen: VmSeen | None = None
    marked: RunState | None = None
    row: bytes = b""
    item: VmListItem | None = None


class VmRegistry:
    """Built empty; `attach()` fills it from the replica, `follow()` keeps what is seen, until cancelled."""

    def __init__(
        self,
        vms: Collection[VmDocument],
        hypervisor: Hypervisor,
        bus: Publisher,
        clock: Clock,
        *,
        node_name: str,
        task_of: Callable[[str], TaskId | None],
        on_found: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_found` is called when the hypervisor answers again, or for the first time."""
        self._vms = vms
        self._hypervisor = hypervisor
        self._bus = bus
        self._clock = clock
        self._node_name = node_name
        self._task_of = task_of
        self._on_found = on_found
        self._known: dict[VmId, Known] = {}
        self._sightings: dict[VmId, VmSeen] = {}
        self._is_hypervisor_lost = True
        self._pulse = asyncio.Event()
        """Set, and replaced by a fresh one, at every change."""
        self._list: bytes | None = None
        self._heard: list[Callable[[VmDocument | None, VmDocument | None], None]] = []

    def attach(self, replica: Replica) -> None:
        """Every document of the replica is known, and from now on every change of one."""
        for entry in replica.entries(self._vms.prefix):
            self._document_changed(entry.key, entry)
        replica.on_change(self._vms.prefix, self._document_changed)

    async def follow(self) -> None:
        """Takes what the hypervisor sees, for ever; ends only by cancellation."""
        watch = self._hypervisor.watch()
        async for sighting in watch:
            self._take(sighting)

    def find(self, vm_id: str) -> Known:
        """NotFound."""
        known = self._known.get(VmId(vm_id))
        if known is None:
            raise NotFound(f"VM {vm_id} does not exist", kind="vm", id=vm_id)
        return known

    def __contains__(self, vm_id: str) -> bool:
        return vm_id in self._known

    def ids(self) -> list[VmId]:
        return sorted(self._known)

    def items(self) -> list[VmListItem]:
        """Rows of all VMs, by id."""
        return [item for id_ in sorted(self._known) if (item := self._known[id_].item) is not None]

    def documents(self) -> Iterator[VmDocument]:
        return (known.document.value for known in self._known.values())

    def listen(self, heard: Callable[[VmDocument | None, VmDocument | None], None]) -> None:
        """From now on `heard` is called with each document that changes, as it was and as it is (None: it is not there)."""
        self._heard.append(heard)

    def encoded_list(self) -> bytes:
        """The JSON of `items()`."""
        if self._list is None:
            self._list = b"[" + b",".join(self._known[id_].row for id_ in sorted(self._known)) + b"]"
        return self._list

    def state_of(self, vm_id: str) -> RunState:
        """What the VM is doing; NotFound."""
        known = self.find(vm_id)
        document = known.document.value
        if document.phase is not Phase.READY:
            return RunState(document.phase.value)
        if self._is_hypervisor_lost:
            return RunState.UNKNOWN
        seen = RunState.STOPPED if known.seen is None else known.seen.state
        if known.marked is not None and seen in {RunState.RUNNING, RunState.PAUSED}:
            return known.marked
        return seen

    @property
    def is_hypervisor_lost(self) -> bool:
        """It does not answer, or has not yet: what runs is unknown."""
        return self._is_hypervisor_lost

    def operation_on(self, vm_id: str) -> TaskId | None:
        return self._task_of(f"vm/{vm_id}")

    def mark(self, vm_id: VmId, state: RunState | None) -> None:
        """Shows `state` while the VM runs, until it is taken away by None."""
        known = self._known.get(vm_id)
        if known is not None and known.marked is not state:
            known.marked = state
            self._refresh(vm_id)

    async def look_again(self, vm_id: VmId) -> VmSeen | None:
        """What the hypervisor says right now, taken over at once; None when it knows no such domain."""
        seen: VmSeen | None = None
        try:
            seen = await self._hypervisor.look(vm_id)
            self._take(Sighting("change", (seen,)))
        except NotFound:
            self._take(Sighting("gone", (VmSeen(id=vm_id, state=RunState.STOPPED),)))
        return seen

    async def wait_until(self, vm_id: VmId, is_so: Callable[[RunState], bool]) -> RunState:
        """The first state for which `is_so`; for ever if there is none (time limits belong to the caller)."""
        while not is_so(state := self.state_of(vm_id)):
            await self._pulse.wait()
        return state

    async def caught_up(self, vm_id: VmId, revision: int | None) -> None:
        """The document is known as of `revision`, or (None) known to be gone; given up silently after 2 s, as a replica
        that cannot follow says so itself."""
        try:
            async with asyncio.timeout(CATCH_UP_S):
                while not self._has_reached(vm_id, revision):
                    await self._pulse.wait()
        except TimeoutError:
            log.warning("VM %s: the replica is more than %s s behind the store", vm_id, CATCH_UP_S)

    def _has_reached(self, vm_id: VmId, revision: int | None) -> bool:
        known = self._known.get(vm_id)
        if revision is None:
            return known is None
        return known is not None and known.document.revision >= revision

    async def until_seen(self) -> None:
        """Returns once the hypervisor has told what runs."""
        while self._is_hypervisor_lost:
            await self._pulse.wait()

    def _changed(self) -> None:
        self._list = None
        self._wake()

    def _wake(self) -> None:
        self._pulse.set()
        self._pulse = asyncio.Event()

    def uses(self, pool: str) -> Mapping[str, VolumeUse]:
        """Which VM has which volume of the pool as a disk, or may have by the end of a move."""
        documents = [(vm_id, known.document.value) for vm_id, known in self._known.items()]
        moving = {
            volume: VolumeUse(vm_id, disk)
            for vm_id, document in documents
            for disk, to in document.moving.items()
            for target, _, volume in [to.partition("/")]
            if target == pool
        }
        return moving | {
            disk.volume: VolumeUse(vm_id, disk.name)
            for vm_id, document in documents
            for disk in document.spec.disks
            if disk.storage_pool == pool
        }

    def image_uses(self, pool: str) -> Mapping[str, VolumeUse]:
        """Which VM has which image of the pool in its drive."""
        return {
            cdrom.partition("/")[2]: VolumeUse(vm_id, "cdrom")
            for vm_id, known in self._known.items()
            if (cdrom := known.document.value.spec.cdrom) is not None and cdrom.partition("/")[0] == pool
        }

    def operation_changed(self, vm_id: VmId) -> None:
        """A task began or ended to work on the VM."""
        if vm_id in self._known:
            self._refresh(vm_id)

    def _document_changed(self, key: str, entry: Entry | None) -> None:
        vm_id = VmId(key.removeprefix(self._vms.prefix))
        known = self._known.get(vm_id)
        was = None if known is None else known.document.value
        if entry is None:
            if self._known.pop(vm_id, None) is not None:
                self._changed()
                self._bus.publish("vm", vm_id, None, Scope.VM_READ)
            self._tell(was, None)
            return
        document = self._vms.decode(entry)
        if known is None:
            self._known[vm_id] = Known(document=document, seen=self._sightings.get(vm_id))
        else:
            known.document = document
        self._refresh(vm_id)
        self._tell(was, document.value)

    def _tell(self, was: VmDocument | None, now: VmDocument | None) -> None:
        for heard in self._heard:
            heard(was, now)

    def _take(self, sighting: Sighting) -> None:
        match sighting.kind:
            case "lost":
                log.warning("the hypervisor does not answer; VM states are unknown until it does")
                self._is_hypervisor_lost = True
                touched = set(self._known)
            case "full":
                if self._is_hypervisor_lost:
                    self._on_found()
                self._is_hypervisor_lost = False
                fresh = {seen.id: seen for seen in sighting.seen}
                touched = set(self._known)
                self._sightings = fresh
            case "change":
                touched = {seen.id for seen in sighting.seen}
                self._sightings.update((seen.id, seen) for seen in sighting.seen)
            case "gone":
                touched = {seen.id for seen in sighting.seen}
                for vm_id in touched:
                    self._sightings.pop(vm_id, None)
        for vm_id in touched & self._known.keys():
            self._known[vm_id].seen = self._sightings.get(vm_id)
            self._refresh(vm_id)
        self._wake()

    def _refresh(self, vm_id: VmId) -> None:
        """Makes the row anew, and tells of it when it differs."""
        known = self._known[vm_id]
        document = known.document.value
        item = VmListItem(
            id=vm_id,
            name=document.spec.name,
            status=self.state_of(vm_id),
            cpu_cores=document.spec.cpu_cores,
            memory_mb=document.spec.memory_mb,
            architecture=document.spec.architecture,
            node=self._node_name,
            tags=document.tags,
            operation=self.operation_on(vm_id),
            revision=known.document.revision,
        )
        if item == known.item:
            return
        known.item = item
        known.row = msgspec.json.encode(item)
        self._changed()
        self._bus.publish("vm", vm_id, item, Scope.VM_READ)
