"""The hypervisor driver on libvirt and QEMU.

A domain is ours when its name is `hx-<our node id>-<vm id>` AND its metadata carries our node id; all others are unseen and
untouched. libvirt keeps definition and run state; nothing is remembered here but marks already read, so a new driver object
finds everything as it was.

A watch: full --(events)--> change, gone … --(connection lost)--> lost --(connected again, listed anew)--> full
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

import libvirt

from agent.compute.driver import Sighting
from agent.compute.guest_files import GuestFiles
from agent.compute.libvirt_errors import from_libvirt
from agent.compute.libvirt_events import Listeners
from agent.compute.libvirt_states import state_of
from agent.host.libvirt_link import LibvirtLink
from horcrux.compute import domain
from horcrux.compute.domain import DomainPlan, HostFacts
from horcrux.compute.domain_xml import METADATA_URI, Mark, compile_domain, read_mark
from horcrux.compute.keys import key_codes
from horcrux.compute.lifecycle import Verb, require
from horcrux.compute.vm import OFF, RunState, VmSeen, VmSpec
from horcrux.errors import AlreadyExists, Conflict, HorcruxError, NotFound, invalid_field
from horcrux.ids import VmId

T = TypeVar("T")

log = logging.getLogger(__name__)

KEY_HOLD_MS = 20
"""Long enough for a guest in emulation to see the key (its kernel reads a key at its own pace)."""
FIRST_RETRY_S, LAST_RETRY_S = 0.2, 5.0
"""A watch tries again after 0.2, 0.4, … 5 s while libvirt does not answer."""

_GONE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)
_Listing = list[VmSeen]
_Run = tuple[str, int]
"""UUID and libvirt's id of one run (-1: it does not run). The mark of a run never changes."""
_Found = list[tuple[libvirt.virDomain, dict[str, int]]]


class LibvirtHypervisor:
    """Implements Hypervisor, Keyboard and ConsolePaths. Use as `async with`: entering makes the folders that guests need
    (HostLacks when QEMU cannot come there) and does not need libvirt; the first call connects."""

    def __init__(
        self,
        host: HostFacts,
        uri: str = "qemu:///system",
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._host = host
        self._listeners = Listeners()
        self._link = LibvirtLink(uri, from_libvirt, threads=4, attach=self._listeners.attach)
        self._files = GuestFiles(host)
        self._sleep = sleep
        self._marks: dict[_Run, Mark] = {}

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._files.prepare)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._link.close()

    async def define(self, plan: DomainPlan) -> None:
        xml = compile_domain(plan, self._host)
        await self._link.call(plan.vm_id, self._define, plan, xml)

    async def undefine(self, vm_id: VmId) -> None:
        await self._link.call(vm_id, self._undefine, vm_id)

    async def start(self, vm_id: VmId) -> None:
        await self._act(vm_id, Verb.START, lambda guest: guest.create())

    async def stop(self, vm_id: VmId) -> None:
        await self._act(vm_id, Verb.STOP, lambda guest: guest.destroy())

    async def shutdown(self, vm_id: VmId) -> None:
        flags = libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN
        await self._act(vm_id, Verb.SHUTDOWN, lambda guest: guest.shutdownFlags(flags))

    async def reboot(self, vm_id: VmId) -> None:
        flags = libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN
        await self._act(vm_id, Verb.REBOOT, lambda guest: guest.reboot(flags))

    async def reset(self, vm_id: VmId) -> None:
        await self._act(vm_id, Verb.RESET, lambda guest: guest.reset(0))

    async def pause(self, vm_id: VmId) -> None:
        await self._act(vm_id, Verb.PAUSE, lambda guest: guest.suspend())

    async def resume(self, vm_id: VmId) -> None:
        await self._act(vm_id, Verb.RESUME, lambda guest: guest.resume())

    async def look(self, vm_id: VmId) -> VmSeen:
        return await self._link.call(vm_id, lambda connection: self._look(self._find(connection, vm_id)[0], vm_id))

    async def list(self) -> list[VmSeen]:
        what = "the list of VMs"
        found = await self._link.call(what, self._scan)
        new = [guest for guest, _stats in found if _run_of(guest) not in self._marks]
        # Each mark is a round trip of its own; side by side they wait for libvirt together.
        shares = [new[start :: self._link.threads] for start in range(self._link.threads)]
        read = await asyncio.gather(*(self._link.call(what, self._read_marks, share) for share in shares if share))
        known = self._marks | {run: mark for marks in read for run, mark in marks.items()}
        self._marks = {run: known[run] for guest, _stats in found if (run := _run_of(guest)) in known}
        return await self._link.call(what, self._seen_all, found)

    async def watch(self) -> AsyncGenerator[Sighting, None]:
        retry_s = 0.0
        with self._listeners.subscribe() as events:
            while True:
                if retry_s:
                    await self._sleep(retry_s)
                while not events.empty():
                    events.get_nowait()
                try:
                    seen = await self.list()
                except HorcruxError as err:
                    if not retry_s:
                        log.warning("cannot list the domains: %s", err)
                        yield Sighting("lost")
                    retry_s = min(max(FIRST_RETRY_S, retry_s * 2), LAST_RETRY_S)
                    continue
                yield Sighting("full", tuple(seen))
                async for change in self._follow(events, {one.id for one in seen}):
                    yield change
                self._marks = {}  # a restarted libvirtd may give a run's id to another run
                yield Sighting("lost")
                retry_s = FIRST_RETRY_S

    async def send_keys(self, vm_id: VmId, chords: Sequence[Sequence[str]]) -> None:
        """QEMU queues what is sent and drops what does not fit (ui/input.c), so each chord is waited for."""
        for codes in [key_codes(chord) for chord in chords]:
            await self._link.call(vm_id, self._press, vm_id, codes)
            await self._sleep(2 * len(codes) * KEY_HOLD_MS / 1000)

    def vnc_socket(self, vm_id: VmId) -> str:
        return domain.vnc_socket(self._host.runtime_dir, vm_id)

    def serial_socket(self, vm_id: VmId) -> str:
        return domain.serial_socket(self._host.runtime_dir, vm_id)

    def serial_log(self, vm_id: VmId) -> str:
        return domain.serial_log(self._host.state_dir, vm_id)

    async def _follow(self, events: asyncio.Queue[str | None], known: set[VmId]) -> AsyncGenerator[Sighting, None]:
        """Sightings until the connection is lost; many events of one domain at once make one."""
        while True:
            names = [await events.get()]
            while not events.empty():
                names.append(events.get_nowait())
            for name in dict.fromkeys(names):
                if name is None:
                    return
                vm_id = self._vm_id_of(name)
                if vm_id is None:
                    continue
                try:
                    seen = await self.look(vm_id)
                except NotFound:
                    if vm_id in known:
                        known.discard(vm_id)
                        yield Sighting("gone", (VmSeen(id=vm_id, state=RunState.STOPPED, reason="undefined"),))
                except HorcruxError as err:
                    log.warning("cannot look at %s: %s", name, err)
                    return
                else:
                    known.add(vm_id)
                    yield Sighting("change", (seen,))

    async def on_guest(self, vm_id: VmId, work: Callable[[libvirt.virDomain], T]) -> T:
        """Result of `work` with the domain on a thread of the link; for the abilities beside this class. NotFound."""
        return await self._link.call(vm_id, lambda connection: work(self._find(connection, vm_id)[0]))

    async def _act(self, vm_id: VmId, verb: Verb, act: Callable[[libvirt.virDomain], object]) -> None:
        def work(connection: libvirt.virConnect) -> None:
            guest, _mark = self._find(connection, vm_id)
            require(state_of(*guest.state())[0], verb, vm_id)
            act(guest)

        await self._link.call(vm_id, work)

    # What follows runs on a thread of the link.

    def _define(self, connection: libvirt.virConnect, plan: DomainPlan, xml: str) -> None:
        name = domain.domain_name(self._host.node_id, plan.vm_id)
        there = _lookup(connection, name)
        if there is not None:
            if self._mark_of(there) is None:
                raise AlreadyExists(f"a domain {name} that is not ours exists already; rename or undefine it")
            if there.UUIDString() != plan.uuid:
                if there.isActive():
                    raise Conflict(f"an earlier {plan.vm_id} with another UUID still runs; stop it first")
                there.undefineFlags(_GONE)
        _check_cpu_model(connection, plan.spec)
        connection.defineXML(xml)

    def _undefine(self, connection: libvirt.virConnect, vm_id: VmId) -> None:
        guest = _lookup(connection, domain.domain_name(self._host.node_id, vm_id))
        if guest is not None and self._mark_of(guest) is not None:
            require(state_of(*guest.state())[0], Verb.DELETE, vm_id)
            guest.undefineFlags(_GONE)
        self._files.remove(vm_id)

    def _press(self, connection: libvirt.virConnect, vm_id: VmId, codes: Sequence[int]) -> None:
        guest, _mark = self._find(connection, vm_id)
        state = state_of(*guest.state())[0]
        if state is not RunState.RUNNING:
            raise Conflict(f"cannot type into {vm_id}: it is {state}", state=str(state))
        guest.sendKey(libvirt.VIR_KEYCODE_SET_LINUX, KEY_HOLD_MS, [*codes], len(codes), 0)

    def _scan(self, connection: libvirt.virConnect) -> _Found:
        """Every domain with our name, with its state, in one call."""
        stats = connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0)
        return [(guest, state) for guest, state in stats if self._vm_id_of(guest.name()) is not None]

    def _read_marks(self, _connection: libvirt.virConnect, guests: Sequence[libvirt.virDomain]) -> dict[_Run, Mark]:
        return {_run_of(guest): mark for guest in guests if (mark := self._mark_of(guest)) is not None}

    def _seen_all(self, _connection: libvirt.virConnect, found: _Found) -> _Listing:
        seen = []
        for guest, stats in found:
            vm_id, mark = self._vm_id_of(guest.name()), self._marks.get(_run_of(guest))
            if vm_id is not None and mark is not None:
                seen.append(self._seen(vm_id, mark, stats["state.state"], stats["state.reason"]))
        return sorted(seen, key=lambda one: one.id)

    def _look(self, guest: libvirt.virDomain, vm_id: VmId) -> VmSeen:
        mark = self._mark_of(guest)
        if mark is None:
            raise NotFound(f"no VM {vm_id} on this node")
        state, reason = guest.state()
        return self._seen(vm_id, mark, state, reason)

    def _seen(self, vm_id: VmId, mark: Mark, number: int, reason_number: int) -> VmSeen:
        state, reason = state_of(number, reason_number)
        if state in OFF:
            return VmSeen(id=vm_id, state=state, reason=reason)
        return VmSeen(id=vm_id, state=state, reason=reason, since=self._files.started_at(vm_id), applied=mark.spec)

    def _find(self, connection: libvirt.virConnect, vm_id: VmId) -> tuple[libvirt.virDomain, Mark]:
        guest = _lookup(connection, domain.domain_name(self._host.node_id, vm_id))
        mark = None if guest is None else self._mark_of(guest)
        if mark is None:
            raise NotFound(f"no VM {vm_id} on this node")
        return guest, mark

    def _mark_of(self, guest: libvirt.virDomain) -> Mark | None:
        """The mark of the running guest, else of its definition; None unless it is ours."""
        try:
            text = guest.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, METADATA_URI, libvirt.VIR_DOMAIN_AFFECT_CURRENT)
        except libvirt.libvirtError as err:
            if err.get_error_code() in {libvirt.VIR_ERR_NO_DOMAIN_METADATA, libvirt.VIR_ERR_NO_DOMAIN}:
                return None
            raise
        mark = read_mark(text)
        return mark if mark is not None and mark.node_id == self._host.node_id else None

    def _vm_id_of(self, name: str) -> VmId | None:
        prefix = domain.domain_name(self._host.node_id, VmId(""))
        return VmId(name.removeprefix(prefix)) if name.startswith(prefix) else None


def _run_of(guest: libvirt.virDomain) -> _Run:
    return guest.UUIDString(), guest.ID()


def _lookup(connection: libvirt.virConnect, name: str) -> libvirt.virDomain | None:
    try:
        return connection.lookupByName(name)
    except libvirt.libvirtError as err:
        if err.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def _check_cpu_model(connection: libvirt.virConnect, spec: VmSpec) -> None:
    """libvirt takes any model at definition and refuses it at the start; `host` and `max` are no models but modes."""
    if spec.cpu_model in {None, "host", "max"}:
        return
    model = str(spec.cpu_model).partition(",")[0]
    known = connection.getCPUModelNames(spec.architecture.value)
    if known and model not in known:
        raise invalid_field("cpu_model", f"libvirt knows no processor {model!r} for {spec.architecture}")
