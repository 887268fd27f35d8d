"""VMs for the API: create, change, power, delete. Every change is a task that holds the VM's lock.

call -> admit() on what is known -> task (lock vm/<id>) -> admit() on what the hypervisor says now -> driver -> registry
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import msgspec

from agent.asked import Asked
from agent.compute.birth import FROM_SCRATCH, Origin, VmBirth
from agent.compute.definer import Definer
from agent.compute.driver import Hypervisor, Keyboard
from agent.compute.ports import Disks
from agent.compute.registry import VmRegistry
from agent.compute.vm_view import vm_view
from agent.tasks import TaskRun, TaskSubmitter
from horcrux.auth.principal import Principal
from horcrux.compute.keys import chords_for
from horcrux.compute.lifecycle import Verb, admit
from horcrux.compute.order import PlannedDisk, Surroundings, change_spec, plan_vm
from horcrux.compute.vm import ALIVE, OFF, Phase, RunState, VmDocument, VmSpec
from horcrux.compute.vm_bodies import NewVm, SendKeys, Shutdown, VmChange, VmView
from horcrux.errors import AlreadyExists, Conflict, HorcruxError, Stale, Unreachable, invalid_field
from horcrux.ids import Entropy, NodeId, PoolId, TaskId, VmId, check_name
from horcrux.if_match import check_match
from horcrux.storage.volume import disk_locks
from horcrux.store import Collection, Document
from horcrux.tasks import Task, as_result

log = logging.getLogger(__name__)

MAX_SHUTDOWN_S = 3600


class VmService:
    def __init__(
        self,
        vms: Collection[VmDocument],
        registry: VmRegistry,
        hypervisor: Hypervisor,
        keyboard: Keyboard,
        disks: Disks,
        definer: Definer,
        birth: VmBirth,
        tasks: TaskSubmitter,
        *,
        node: NodeId,
        node_name: str,
        host: Callable[[], Awaitable[Surroundings]],
        entropy: Entropy,
    ) -> None:
        self._vms = vms
        self.registry = registry
        self._hypervisor = hypervisor
        self._keyboard = keyboard
        self._disks = disks
        self._definer = definer
        self._birth = birth
        self._tasks = tasks
        self._node = node
        self._node_name = node_name
        self._host = host
        self._entropy = entropy
        self._promised: set[VmId] = set()
        tasks.recovery("vm.redefine", self._redefine)

    def view(self, vm_id: str, principal: Principal) -> VmView:
        """NotFound."""
        return vm_view(self.registry, self.registry.find(vm_id), self._node_name, principal)

    async def create(self, order: NewVm, asked: Asked) -> Task:
        """A task whose result is the new VM."""
        if order.node is not None and order.node not in {self._node, self._node_name}:
            raise invalid_field("node", f"there is no node {order.node!r}; this one is {self._node_name}")
        if order.id is None:
            with self._free_id() as free:
                return await self._create(order, free, asked)
        return await self._create(order, VmId(check_name(order.id, "id")), asked)

    async def _create(self, order: NewVm, vm_id: VmId, asked: Asked) -> Task:
        self.check_new(vm_id)
        around = await self._surroundings()
        places = [d.storage_pool if d.storage_pool in around.pools else None for d in order.disks]
        names = await self.volume_names(vm_id, places)
        spec, disks = plan_vm(order, vm_id, around, names, self.new_mac)
        document = self._birth.new_document(vm_id, spec, order.tags, order.notes, autostart=order.autostart)
        return await self.bear("vm.create", document, disks, asked, start=order.start)

    def check_new(self, vm_id: VmId) -> None:
        """AlreadyExists; Unreachable while no VM can be made."""
        if vm_id in self.registry:
            raise AlreadyExists(f"VM {vm_id} exists already", kind="vm", id=vm_id)
        if self.registry.is_hypervisor_lost:
            raise Unreachable("the hypervisor does not answer; no VM can be made until it does")

    def new_clone(self, vm_id: VmId, spec: VmSpec, tags: tuple[str, ...], template: str | None) -> VmDocument:
        """A document to be born, with a UUID of its own."""
        document = self._birth.new_document(vm_id, spec, tags, "", autostart=False)
        return msgspec.structs.replace(document, template=template)

    async def bear(
        self,
        action: str,
        document: VmDocument,
        disks: tuple[PlannedDisk, ...],
        asked: Asked,
        *,
        start: bool,
        origin: Origin = FROM_SCRATCH,
        locks: Sequence[str] = (),
    ) -> Task:
        """A task, holding `locks` too, whose result is the new VM."""
        document = msgspec.structs.replace(document, user=asked.principal.user)

        async def body(run: TaskRun) -> None:
            await self._birth.create(run, document, disks, origin)
            if start:
                await run.stage("starting it")
                await self._first_start(document.id)

        volume_locks = disk_locks(planned.disk for planned in disks)
        return await self.submit(action, document.id, asked, body, (*volume_locks, *locks))

    async def change(self, vm_id: str, change: VmChange, if_match: int | None, asked: Asked) -> Task:
        """A task whose result is the VM as it is then. Stale, with the current VM, when If-Match names an older one."""
        known = self.registry.find(vm_id)
        await self._check_match(known.document, if_match, asked)
        if not asked.wait_s:
            admit(self.registry.state_of(vm_id), Verb.UPDATE, vm_id)
        around = await self._surroundings()
        change_spec(known.document.value.spec, change, around, self.new_mac)

        async def body(run: TaskRun) -> None:
            was = await self._vms.get(vm_id)
            await self._check_match(was, if_match, asked)
            admit(self.registry.state_of(vm_id), Verb.UPDATE, vm_id)
            now = _changed(was.value, change, around, self.new_mac)
            await run.undo("vm.redefine", id=vm_id)
            await run.stage("defining it", 0.3)
            await self._definer.define(now)
            await run.stage("keeping it", 0.7)
            await self._vms.replace(vm_id, was, now)
            await run.commit()

        return await self.submit("vm.update", VmId(vm_id), asked, body)

    async def delete(self, vm_id: str, if_match: int | None, asked: Asked, *, force: bool) -> Task:
        """A task; with `force` a running VM is stopped first."""
        known = self.registry.find(vm_id)
        await self._check_match(known.document, if_match, asked)
        if not asked.wait_s:
            self._admit_delete(vm_id, force=force)

        async def body(run: TaskRun) -> None:
            was = await self._vms.get(vm_id)
            if was.value.phase is Phase.READY:
                await self._check_match(was, if_match, asked)
            await self.registry.look_again(VmId(vm_id))
            self._admit_delete(vm_id, force=force, by=run.task.id)
            await self._birth.delete(run, VmId(vm_id), force=force)

        locks = disk_locks(known.document.value.spec.disks)
        return await self.submit("vm.delete", VmId(vm_id), asked, body, locks)

    async def power(self, vm_id: str, verb: Verb, asked: Asked) -> Task:
        """start, stop, reboot, reset, pause or resume."""
        acts = {
            Verb.START: self._start,
            Verb.STOP: self._hypervisor.stop,
            Verb.REBOOT: self._hypervisor.reboot,
            Verb.RESET: self._hypervisor.reset,
            Verb.PAUSE: self._hypervisor.pause,
            Verb.RESUME: self._hypervisor.resume,
        }
        act = acts[verb]
        if verb is Verb.STOP:
            await self._overrule_shutdown(vm_id, asked)
        if not asked.wait_s:
            admit(self.registry.state_of(vm_id), verb, vm_id)

        async def body(run: TaskRun) -> None:
            await self.admit_now(VmId(vm_id), verb)
            await run.stage(f"{verb}: asking the hypervisor", 0.1)
            await act(VmId(vm_id))
            await self.registry.look_again(VmId(vm_id))

        return await self.submit(f"vm.{verb}", VmId(vm_id), asked, body)

    async def shutdown(self, vm_id: str, how: Shutdown, asked: Asked) -> Task:
        """Asks the guest, waits for it, and pulls the plug after the time limit when `force` is set."""
        if not 1 <= how.timeout_s <= MAX_SHUTDOWN_S:
            raise invalid_field("timeout_s", f"1 to {MAX_SHUTDOWN_S} seconds")
        if not asked.wait_s:
            admit(self.registry.state_of(vm_id), Verb.SHUTDOWN, vm_id)
        id_ = VmId(vm_id)

        async def body(run: TaskRun) -> None:
            await self.admit_now(id_, Verb.SHUTDOWN)
            await run.stage("asking the guest to shut down", 0.1)
            await self._hypervisor.shutdown(id_)
            self.registry.mark(id_, RunState.STOPPING)
            try:
                await self._await_shutdown(run, id_, how)
            finally:
                self.registry.mark(id_, None)

        return await self.submit("vm.shutdown", id_, asked, body)

    async def send_keys(self, vm_id: str, keys: SendKeys) -> None:
        """Typed when it returns; Conflict when the VM does not run."""
        admit(self.registry.state_of(vm_id), Verb.CONSOLE, vm_id)
        if (keys.text is None) == (keys.keys is None):
            raise invalid_field("text", "send exactly one of text and keys")
        chords = chords_for(keys.text) if keys.text is not None else (tuple(keys.keys or ()),)
        await self._keyboard.send_keys(VmId(vm_id), chords)

    async def start_marked(self, asked: Asked) -> list[Task]:
        """After the host has booted: every VM of this node that is marked `autostart` and does not run has been started, or
        its task says why not. Waits for the hypervisor, for as long as it takes."""
        await self.registry.until_seen()
        tasks = []
        for vm_id in self.registry.ids():
            document = self.registry.find(vm_id).document.value
            if document.autostart and self.registry.state_of(vm_id) in OFF:
                try:
                    tasks.append(await self.power(vm_id, Verb.START, asked))
                except HorcruxError as err:
                    log.warning("VM %s was not started with the host: %s", vm_id, err)
        return [await self._tasks.wait(task.id) for task in tasks]

    async def _overrule_shutdown(self, vm_id: str, asked: Asked) -> None:
        """No task still waits for the guest to shut down: the plug need not wait for that."""
        by = self.registry.operation_on(vm_id)
        if by is None or (await self._tasks.get(by)).action != f"vm.{Verb.SHUTDOWN}":
            return
        try:
            await self._tasks.cancel(by, asked.principal.user)
        except Conflict:
            log.debug("task %s ended before it was overruled", by)
        await self._tasks.wait(by)

    def _admit_delete(self, vm_id: str, *, force: bool, by: TaskId | None = None) -> None:
        """Conflict. What a cut-off task left half made or half deleted may always be deleted, once no other task has it."""
        is_ready = self.registry.find(vm_id).document.value.phase is Phase.READY
        state = self.registry.state_of(vm_id)
        if not is_ready and self.registry.operation_on(vm_id) in {None, by}:
            return
        if not (force and state in ALIVE):
            admit(state, Verb.DELETE, vm_id)

    async def _first_start(self, vm_id: VmId) -> None:
        """As `_start`; when it fails the error says that the VM is there all the same."""
        try:
            await self._start(vm_id)
        except HorcruxError as err:
            words = f"VM {vm_id} has been made, but could not be started: {err}"
            raise Conflict(words, vm=vm_id, cause=err.code) from err

    async def _start(self, vm_id: VmId) -> None:
        """Only a linearizable read may say that it is ours to start; the definition is made anew from the document."""
        document = (await self._vms.get(vm_id)).value
        if document.owner != self._node:
            raise Conflict(f"VM {vm_id} belongs to node {document.owner}", node=document.owner)
        seen = await self.registry.look_again(vm_id)
        if seen is not None and seen.state is RunState.RUNNING:
            return
        await self._definer.define(document)
        await self._forget_operation(vm_id)
        await self._hypervisor.start(vm_id)
        await self.registry.look_again(vm_id)

    async def _forget_operation(self, vm_id: VmId) -> None:
        """No task of before has a say in how it goes on: a revert that was cut off brings no memory back over newer disks."""
        while (was := await self._vms.get(vm_id)).value.operation is not None:
            with suppress(Stale):  # somebody wrote a note meanwhile
                await self._vms.replace(vm_id, was, msgspec.structs.replace(was.value, operation=None))

    async def admit_now(self, vm_id: VmId, verb: Verb) -> None:
        """The hypervisor has been asked, and `verb` makes sense. Conflict."""
        await self.registry.look_again(vm_id)
        admit(self.registry.state_of(vm_id), verb, vm_id)

    async def _await_shutdown(self, run: TaskRun, vm_id: VmId, how: Shutdown) -> None:
        await run.stage(f"waiting up to {how.timeout_s} s for the guest", 0.2)
        try:
            async with asyncio.timeout(how.timeout_s):
                await self.registry.wait_until(vm_id, lambda s: s in OFF)
        except TimeoutError:
            if not how.force:
                raise Conflict(
                    f"the guest of VM {vm_id} did not shut down within {how.timeout_s} s; "
                    f"wait longer, or stop it (force pulls the plug by itself)"
                ) from None
            run.warn(f"the guest did not shut down within {how.timeout_s} s: the plug was pulled")
            await run.stage("pulling the plug", 0.9)
            await self._hypervisor.stop(vm_id)
            await self.registry.look_again(vm_id)

    async def submit(
        self,
        action: str,
        vm_id: VmId,
        asked: Asked,
        body: Callable[[TaskRun], Awaitable[None]],
        more_locks: Iterable[str] = (),
    ) -> Task:
        """The result of the task is the VM as it is then, nothing when it is gone."""

        async def told(run: TaskRun) -> Mapping[str, object] | None:
            await body(run)
            found = await self._vms.find(vm_id)
            await self.registry.caught_up(vm_id, found.revision if found else None)
            return as_result(self._kept(vm_id, asked, run.task.id)) if found else None

        return await self._tasks.submit(asked.order(action, f"vm/{vm_id}", f"vm/{vm_id}", *more_locks), told)

    def _kept(self, vm_id: VmId, asked: Asked, by: TaskId | None = None) -> VmView:
        """The VM; the task `by`, which is about to end, no longer counts as working on it."""
        known = self.registry.find(vm_id)
        return vm_view(self.registry, known, self._node_name, asked.principal, ending=by, is_kept=True)

    async def _check_match(self, found: Document[VmDocument], if_match: int | None, asked: Asked) -> None:
        vm_id = found.value.id

        async def now() -> VmView:
            await self.registry.caught_up(vm_id, found.revision)
            return self._kept(vm_id, asked)

        await check_match(f"VM {vm_id}", found, if_match, now)

    async def _redefine(self, args: Mapping[str, str]) -> None:
        found = await self._vms.find(args["id"])
        if found is not None and found.value.phase is Phase.READY:
            await self._definer.define(found.value)

    async def _surroundings(self) -> Surroundings:
        images = await self._disks.all_images()
        return msgspec.structs.replace(await self._host(), pools=self._disks.volume_pools(), images=images)

    async def volume_names(self, vm_id: VmId, pools: Sequence[str | None]) -> list[str]:
        """`<vm>-disk<n>` for each, with a number behind where its pool (if there is one) has a volume of that name."""
        names = []
        for i, pool in enumerate(pools):
            name, n = f"{vm_id}-disk{i}", 1
            while pool is not None and await self._disks.has_volume(PoolId(pool), name):
                n += 1
                name = f"{vm_id}-disk{i}-{n}"
            names.append(name)
        return names

    @contextmanager
    def _free_id(self) -> Iterator[VmId]:
        """The next id that nobody has, nor gets while this lasts."""
        number = 100
        while (vm_id := VmId(f"vm-{number}")) in self.registry or vm_id in self._promised or self._is_at_work(vm_id):
            number += 1
        self._promised.add(vm_id)
        try:
            yield vm_id
        finally:
            self._promised.discard(vm_id)

    def _is_at_work(self, vm_id: VmId) -> bool:
        return self.registry.operation_on(vm_id) is not None

    def stamp(self) -> tuple[str, float]:
        """A UUID that nobody has, and the time."""
        return self._birth.stamp()

    def new_mac(self) -> str:
        """52:54:00 is QEMU's own; the rest is chance."""
        return "52:54:00:" + ":".join(f"{b:02x}" for b in self._entropy(3))


def _changed(was: VmDocument, change: VmChange, around: Surroundings, new_mac: Callable[[], str]) -> VmDocument:
    spec = change_spec(was.spec, change, around, new_mac)
    own = {f: v for f in ("tags", "notes", "autostart") if (v := getattr(change, f)) is not msgspec.UNSET}
    seed = was.seed + (spec.cloud_init != was.spec.cloud_init)
    return msgspec.structs.replace(was, spec=spec, seed=seed, **own)
