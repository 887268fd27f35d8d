"""A hypervisor in memory: what `libvirt.py` does, without guests. For tests, and for trying the agent where no QEMU is.

The conformance suite holds it to what libvirt does. What a real host does behind our back is here a call:
`outside_stop`, `crash`, `outside_undefine`, `lose`, `come_back`.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from types import TracebackType
from typing import Self

import msgspec
from msgspec.structs import replace

from agent.compute.driver import Sighting
from horcrux.compute import domain
from horcrux.compute.domain import DomainDisk, DomainPlan, HostFacts
from horcrux.compute.domain_xml import compile_domain
from horcrux.compute.keys import key_codes
from horcrux.compute.lifecycle import Verb, require
from horcrux.compute.vm import OFF, RunState, VmSeen
from horcrux.errors import Conflict, NotFound, Unreachable
from horcrux.ids import VmId


class _Guest(msgspec.Struct, frozen=True):
    """`plan` is the definition, `opened` the disks that the running guest has open."""

    plan: DomainPlan
    seen: VmSeen
    opened: tuple[DomainDisk, ...] = ()


class FakeHypervisor:
    """Implements Hypervisor, Keyboard and ConsolePaths. `is_obedient`: a guest that is asked to shut down does so at once;
    otherwise it never does. What was typed is kept in `typed`. Guests outlive `async with`, as QEMU outlives an agent."""

    def __init__(self, host: HostFacts, *, is_obedient: bool = True, now: Callable[[], float] = lambda: 0.0) -> None:
        self._host = host
        self.is_obedient = is_obedient
        self._now = now
        self._guests: dict[VmId, _Guest] = {}
        self._watchers: list[asyncio.Queue[Sighting]] = []
        self._is_lost = False
        self._is_failing = False
        self.typed: list[tuple[VmId, tuple[int, ...]]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def define(self, plan: DomainPlan) -> None:
        compile_domain(plan, self._host)  # refuses what the real one would
        self._reach_to_change()
        there = self._guests.get(plan.vm_id)
        if there is not None and there.plan.uuid != plan.uuid:
            if there.seen.state not in OFF:
                raise Conflict(f"an earlier {plan.vm_id} with another UUID still runs; stop it first")
            there = None
        seen = VmSeen(id=plan.vm_id, state=RunState.STOPPED) if there is None else there.seen
        self._put(_Guest(plan, seen, () if there is None else there.opened))

    async def undefine(self, vm_id: VmId) -> None:
        self._reach_to_change()
        guest = self._guests.get(vm_id)
        if guest is not None:
            require(guest.seen.state, Verb.DELETE, vm_id)
            self.outside_undefine(vm_id)

    async def start(self, vm_id: VmId) -> None:
        guest = self._admitted(vm_id, Verb.START)
        seen = VmSeen(id=vm_id, state=RunState.RUNNING, reason="booted", since=self._now(), applied=guest.plan.spec)
        self._put(replace(guest, seen=seen, opened=guest.plan.disks))

    async def stop(self, vm_id: VmId) -> None:
        self._admitted(vm_id, Verb.STOP)
        self.outside_stop(vm_id)

    async def shutdown(self, vm_id: VmId) -> None:
        self._admitted(vm_id, Verb.SHUTDOWN)
        if self.is_obedient:
            self._end(vm_id, RunState.STOPPED, "shutdown")

    async def reboot(self, vm_id: VmId) -> None:
        self._admitted(vm_id, Verb.REBOOT)

    async def reset(self, vm_id: VmId) -> None:
        self._admitted(vm_id, Verb.RESET)

    async def pause(self, vm_id: VmId) -> None:
        guest = self._admitted(vm_id, Verb.PAUSE)
        self._put(replace(guest, seen=replace(guest.seen, state=RunState.PAUSED, reason="user")))

    async def resume(self, vm_id: VmId) -> None:
        guest = self._admitted(vm_id, Verb.RESUME)
        self._put(replace(guest, seen=replace(guest.seen, state=RunState.RUNNING, reason="unpaused")))

    async def look(self, vm_id: VmId) -> VmSeen:
        return self._find(vm_id).seen

    async def list(self) -> list[VmSeen]:
        self._reach()
        return [self._guests[vm_id].seen for vm_id in sorted(self._guests)]

    async def watch(self) -> AsyncGenerator[Sighting, None]:
        queue: asyncio.Queue[Sighting] = asyncio.Queue()
        self._watchers.append(queue)
        try:
            yield Sighting("lost") if self._is_lost else Sighting("full", tuple(await self.list()))
            while True:
                sighting = await queue.get()
                if sighting.kind != "change":
                    yield sighting
                elif (guest := self._guests.get(sighting.seen[0].id)) is not None:
                    yield Sighting("change", (guest.seen,))  # looked at when it is told, as libvirt's driver does
        finally:
            self._watchers.remove(queue)

    async def send_keys(self, vm_id: VmId, chords: Sequence[Sequence[str]]) -> None:
        for codes in [key_codes(chord) for chord in chords]:
            state = self._find(vm_id).seen.state
            if state is not RunState.RUNNING:
                raise Conflict(f"cannot type into {vm_id}: it is {state}", state=str(state))
            self.typed.append((vm_id, tuple(codes)))

    def vnc_socket(self, vm_id: VmId) -> str:
        return domain.vnc_socket(self._host.runtime_dir, vm_id)

    def serial_socket(self, vm_id: VmId) -> str:
        return domain.serial_socket(self._host.runtime_dir, vm_id)

    def serial_log(self, vm_id: VmId) -> str:
        return domain.serial_log(self._host.state_dir, vm_id)

    def plan_of(self, vm_id: VmId) -> DomainPlan:
        """Its definition. NotFound."""
        return self._find(vm_id).plan

    def disks_of(self, vm_id: VmId) -> tuple[DomainDisk, ...]:
        """What the guest has open; of one that does not run, what its definition names. NotFound."""
        guest = self._find(vm_id)
        return guest.opened if is_alive(guest.seen.state) else guest.plan.disks

    def replace_disk(self, vm_id: VmId, disk: DomainDisk) -> None:
        """The running guest has that disk open in place of the one of its name, and the definition names it."""
        guest = self._find(vm_id)
        opened, defined = (
            tuple(disk if one.name == disk.name else one for one in disks) for disks in (guest.opened, guest.plan.disks)
        )
        self._put(replace(guest, opened=opened, plan=replace(guest.plan, disks=defined)))

    def outside_stop(self, vm_id: VmId) -> None:
        """Somebody pulled the plug with other tools than ours."""
        self._end(vm_id, RunState.STOPPED, "destroyed")

    def crash(self, vm_id: VmId) -> None:
        """QEMU died."""
        self._end(vm_id, RunState.CRASHED, "crashed")

    def outside_undefine(self, vm_id: VmId) -> None:
        """Somebody removed the definition."""
        del self._guests[vm_id]
        self._tell(Sighting("gone", (VmSeen(id=vm_id, state=RunState.STOPPED, reason="undefined"),)))

    def lose(self) -> None:
        """From now on the hypervisor does not answer; guests run on."""
        self._is_lost = True
        self._tell(Sighting("lost"))

    def lose_at_next_act(self) -> None:
        """As `lose`, as soon as it is asked to change anything."""
        self._is_failing = True

    def come_back(self) -> None:
        """It answers again."""
        self._is_lost = self._is_failing = False
        self._tell(Sighting("full", tuple(self._guests[vm_id].seen for vm_id in sorted(self._guests))))

    def _end(self, vm_id: VmId, state: RunState, reason: str) -> None:
        guest = self._guests[vm_id]
        self._put(replace(guest, seen=VmSeen(id=vm_id, state=state, reason=reason), opened=()))

    def _put(self, guest: _Guest) -> None:
        self._guests[guest.plan.vm_id] = guest
        self._tell(Sighting("change", (guest.seen,)))

    def _tell(self, sighting: Sighting) -> None:
        if not self._is_lost or sighting.kind == "lost":
            for queue in self._watchers:
                queue.put_nowait(sighting)

    def _reach(self) -> None:
        if self._is_lost:
            raise Unreachable("the hypervisor does not answer")

    def _reach_to_change(self) -> None:
        if self._is_failing:
            self.lose()
        self._reach()

    def _find(self, vm_id: VmId) -> _Guest:
        self._reach()
        try:
            return self._guests[vm_id]
        except KeyError:
            raise NotFound(f"no VM {vm_id} on this node") from None

    def _admitted(self, vm_id: VmId, verb: Verb) -> _Guest:
        self._reach_to_change()
        guest = self._find(vm_id)
        require(guest.seen.state, verb, vm_id)
        return guest


def is_alive(state: RunState) -> bool:
    """Whether QEMU has the guest's disks open."""
    return state in {RunState.RUNNING, RunState.PAUSED}
