"""Puts the node together from the drivers it is given (`agent.wiring`).

store, replica, journal -> bus, tasks -> drivers -> storage, compute, console, sign-in -> recovery -> loops -> HTTP
"""

import asyncio
import logging
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

import web.assets
from agent import faults
from agent.api import auth as auth_api
from agent.api import console as console_api
from agent.api import docs as docs_api
from agent.api import health as health_api
from agent.api import host as host_api
from agent.api import storage as storage_api
from agent.api import templates as templates_api
from agent.api.events import EventApi
from agent.api.snapshots import SnapshotApi
from agent.api.tasks import TaskApi
from agent.api.vms import VmApi
from agent.asked import Asked
from agent.assembly_disks import build_disk_parts
from agent.assembly_replication import Replicating, ReplicationParts, build_replication
from agent.audit import AuditLog
from agent.auth.service import AuthService
from agent.auth.sessions import AuthSettings
from agent.blocking import BlockingPool
from agent.compute.birth import VmBirth
from agent.compute.definer import Definer
from agent.compute.driver import BlockJobs, ConsolePaths, GuestSnapshots, Hypervisor, Keyboard
from agent.compute.registry import VmRegistry
from agent.compute.service import VmService
from agent.compute.snapshot_files import SnapshotFiles
from agent.compute.snapshot_service import SnapshotParts, build_snapshots
from agent.compute.template_build import build_templates, known_templates
from agent.compute.template_registry import TemplateRegistry
from agent.console.proxy import VncRelay
from agent.console.serial import SerialHub
from agent.console.serial_log import SerialLogs
from agent.console.service import ConsoleService
from agent.console.tickets import TicketOffice
from agent.console.viewers import Viewers
from agent.console.websockify import VncGate
from agent.events import EventBus
from agent.host.probe import HostProbe, find_basis, order_of
from agent.host.surroundings import HostSurroundings
from agent.http.app import HttpServer, build_app
from agent.http.idempotency_store import StoredAnswers
from agent.http.middleware.auth import Gate
from agent.http.middleware.rate_limit import MovingWindows
from agent.http.route import AnyRoute
from agent.http.settings import HttpSettings
from agent.http.static import Pages
from agent.journal import Journal
from agent.loops import Loops
from agent.node import NodeState
from agent.replication.driver import StreamDriver
from agent.replication.freezer import GuestFreezer
from agent.storage.driver import StorageDriver
from agent.storage.held import HeldVolumes
from agent.storage.ports import LetIn, VolumeUses
from agent.storage.service import StorageService
from agent.task_locks import TaskLocks
from agent.tasks import TaskEngine
from cluster.clock import SystemClock
from cluster.store.replica import Replica
from cluster.store.sqlite import SqliteStore
from horcrux.auth.permission import Role, Scope
from horcrux.auth.principal import Principal
from horcrux.clock import Clock
from horcrux.compute.domain import HostFacts
from horcrux.compute.vm import VmDocument
from horcrux.config import Settings
from horcrux.ids import Entropy, UserName, VmId
from horcrux.storage.pool import PoolType
from horcrux.store import Collection, Store
from horcrux.tasks import Task

log = logging.getLogger("horcrux.agent")

FIRST_SIGHT_S = 3.0
REPLICATED = ("/hx/v1/vm/", "/hx/v1/template/")
AGENT = Principal(
    user=UserName("horcrux"),
    role=Role.OPERATOR,
    scopes=frozenset({Scope.VM_READ, Scope.VM_POWER}),
    token_id="agent",  # noqa: S106  a name, no secret
)
"""Whom the agent's own doing is booked under."""


class Drivers(msgspec.Struct, frozen=True, kw_only=True):
    """What touches the host: the real parts, or the fakes."""

    hypervisor: Hypervisor
    keyboard: Keyboard
    paths: ConsolePaths
    guest_snapshots: GuestSnapshots
    blocks: BlockJobs
    pools: dict[PoolType, StorageDriver]
    gate: VncGate
    let_qemu_in: LetIn
    streams: StreamDriver | None = None
    """None where there is no ZFS."""


OpenDrivers = Callable[["Ground"], Awaitable[Drivers]]
"""Opens them; what they have to close they push on `ground.undo`."""


class Ground(msgspec.Struct, kw_only=True):
    """What everything stands on."""

    settings: Settings
    state: NodeState
    clock: Clock
    entropy: Entropy
    files: BlockingPool
    probe: HostProbe
    facts: HostFacts
    undo: AsyncExitStack


class Node:
    """A node that serves: what the program that opened it needs of it."""

    def __init__(
        self,
        name: str,
        server: HttpServer,
        routes: Sequence[AnyRoute],
        *,
        setup_fragment: str | None,
    ) -> None:
        self.name = name
        self.url = server.url
        self.routes = routes
        self.setup_fragment = setup_fragment
        """What to put behind the address to choose the first password; None when somebody can sign in already."""


@asynccontextmanager
async def open_node(
    settings: Settings, state: NodeState, open_drivers: OpenDrivers, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Node]:
    """A node that serves, from the recovery of its earlier life to its orderly end.

    A background loop that fails ends it: the exception comes out of the `async with`.
    """
    try:
        async with AsyncExitStack() as undo:
            ground = await _lay_ground(settings, state, undo)
            store = await SqliteStore.open(state.folder / "store.db", ground.clock)
            undo.push_async_callback(store.aclose)
            journal = await Journal.open(state.folder / "journal.db")
            undo.push_async_callback(journal.aclose)
            drivers = await open_drivers(ground)
            loops = await undo.enter_async_context(Loops())
            yield await _Assembly(ground, store, journal, loops).build(drivers, tls)
    except BaseExceptionGroup as group:
        raise _only_error(group) from None


def _only_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What went wrong, without the task groups that it passed through; the group where more than one thing did."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


async def _lay_ground(settings: Settings, state: NodeState, undo: AsyncExitStack) -> Ground:
    clock = SystemClock()
    files = BlockingPool("files", threads=2)
    undo.push_async_callback(asyncio.to_thread, files.close)
    order = order_of(settings, is_agent=True)
    probe = HostProbe(order, clock)
    undo.push_async_callback(asyncio.to_thread, probe.close)
    machines, has_virtlogd = await files.run(find_basis, order)
    facts = HostFacts(
        node_id=state.node_id,
        runtime_dir=f"{settings.run_dir}/{state.node_id}",
        state_dir=str(state.folder),
        machines=machines,
        has_virtlogd=has_virtlogd,
    )
    return Ground(
        settings=settings,
        state=state,
        clock=clock,
        entropy=os.urandom,
        files=files,
        probe=probe,
        facts=facts,
        undo=undo,
    )


class _Assembly:
    """Builds the services in the order in which they need each other."""

    def __init__(self, ground: Ground, store: Store, journal: Journal, loops: Loops) -> None:
        self._ground = ground
        self._store = store
        self._journal = journal
        self._loops = loops
        self._boot = ground.entropy(8).hex()
        self._bus = EventBus(self._boot, ground.clock)
        self._locks = TaskLocks(store, ground.state.node_id, ground.clock)
        self._tasks = TaskEngine(
            journal,
            self._locks,
            self._bus,
            node=ground.state.name,
            clock=ground.clock,
            entropy=ground.entropy,
            failpoint=faults.failpoint(ground.settings.fail_at),
        )
        self._audit = AuditLog(journal, ground.clock)
        self._vms: Collection[VmDocument] = Collection(store, "vm", VmDocument)

    async def build(self, drivers: Drivers, tls: ssl.SSLContext | None) -> Node:
        ground, undo = self._ground, self._ground.undo
        registry = VmRegistry(
            self._vms,
            drivers.hypervisor,
            self._bus,
            ground.clock,
            node_name=ground.state.name,
            task_of=self._tasks.running_on,
            on_found=self._tasks.recoveries.nudge,
        )
        replica = Replica(self._store, REPLICATED, clock=ground.clock)
        await undo.enter_async_context(replica)
        registry.attach(replica)
        known = known_templates(self._store, registry, self._bus, replica, self._tasks.running_on, ground.state)
        storage = self._storage(drivers, HeldVolumes(registry, known))
        undo.push_async_callback(storage.close)
        await storage.start()
        vms = self._vm_service(drivers, registry, storage)
        hypervisor, facts = drivers.hypervisor, ground.facts
        templates = build_templates(
            known, vms, storage, hypervisor, self._tasks, store=self._store, facts=facts, files=ground.files
        )
        snapshots = build_snapshots(
            SnapshotParts(
                vms=self._vms,
                registry=registry,
                hypervisor=drivers.hypervisor,
                guests=drivers.guest_snapshots,
                storage=storage,
                volumes=storage.disk_snapshots,
                files=SnapshotFiles(ground.facts.state_dir, ground.files),
                tasks=self._tasks,
                clock=ground.clock,
                node_name=ground.state.name,
            )
        )
        disks = build_disk_parts(
            self._store, vms, storage, hypervisor, drivers.blocks, self._tasks, self._bus, ground.clock
        )
        replicating = await self._replication(drivers, registry, storage)
        auth, setup_fragment = await self._sign_in()
        await self._tasks.start()
        await disks.start()
        undo.push_async_callback(self._tasks.aclose, ground.settings.stop_patience_s)
        self._loops.run("task locks", self._locks.keep_alive(self._tasks.cut_all))
        self._loops.run("undo", self._tasks.recoveries.keep_trying())
        self._loops.run("audit", self._audit.run())
        self._loops.run("health of pools", storage.watch.follow())
        undo.push_async_callback(self._audit.flush)
        self._loops.run("hypervisor", registry.follow())
        replicating.run(self._loops)
        consoles, logs = await self._consoles(drivers, registry, auth)
        self._tasks.listen(lambda task: _tell_of_work(task, registry, known, consoles))
        http = _http_settings(ground.settings)
        gate = Gate(auth, ground.clock)
        routes = (
            *health_api.routes(),
            *auth_api.routes(auth),
            *VmApi(vms, logs).routes(),
            *SnapshotApi(snapshots).routes(),
            *disks.routes(),
            *storage_api.routes(storage),
            *replicating.routes(),
            *templates_api.routes(templates),
            *TaskApi(self._tasks).routes(),
            *EventApi(self._bus, auth).routes(),
            *console_api.routes(consoles, gate, port=ground.settings.port),
            *host_api.routes(ground.probe, ground.state.name),
        )
        routes = (*routes, *docs_api.routes(routes))
        await _await_first_sight(registry)
        server = await self._serve(routes, auth, http, tls)
        undo.callback(self._bus.close_listeners)
        undo.callback(consoles.close)
        self._loops.run("autostart", self._autostart(vms))
        return Node(ground.state.name, server, routes, setup_fragment=setup_fragment)

    async def _autostart(self, vms: VmService) -> None:
        """After the host has booted, VMs that are marked so have been started, once."""
        state, files = self._ground.state, self._ground.files
        if await files.run(state.is_first_start_since_boot):
            for task in await vms.start_marked(Asked(principal=AGENT)):
                log.info("autostart of %s: %s", task.target, task.error.message if task.error else task.state)
            await files.run(state.remember_boot)

    async def _replication(self, drivers: Drivers, registry: VmRegistry, storage: StorageService) -> Replicating:
        ground = self._ground
        return await build_replication(
            ReplicationParts(
                settings=ground.settings,
                state=ground.state,
                clock=ground.clock,
                files=ground.files,
                store=self._store,
                events=self._bus,
                tasks=self._tasks,
                storage=storage,
                registry=registry,
                streams=drivers.streams,
                freezer=GuestFreezer(
                    drivers.guest_snapshots,
                    self._tasks,
                    state_of=registry.state_of,
                    task_of=self._tasks.running_on,
                ),
                asked=Asked(principal=AGENT),
            )
        )

    def _storage(self, drivers: Drivers, uses: VolumeUses) -> StorageService:
        ground = self._ground
        return StorageService(
            self._store,
            drivers.pools,
            self._tasks,
            self._bus,
            uses,
            node=ground.state.node_id,
            node_name=ground.state.name,
            state_dir=ground.state.folder,
            image_folders=[Path(folder) for folder in ground.settings.image_folders],
            clock=ground.clock,
            let_qemu_in=drivers.let_qemu_in,
        )

    def _vm_service(self, drivers: Drivers, registry: VmRegistry, storage: StorageService) -> VmService:
        ground = self._ground
        definer = Definer(drivers.hypervisor, storage)
        birth = VmBirth(
            self._vms,
            drivers.hypervisor,
            storage,
            definer,
            self._tasks,
            snapshot_files=SnapshotFiles(ground.facts.state_dir, ground.files),
            node=ground.state.node_id,
            clock=ground.clock,
            entropy=ground.entropy,
        )
        return VmService(
            self._vms,
            registry,
            drivers.hypervisor,
            drivers.keyboard,
            storage,
            definer,
            birth,
            self._tasks,
            node=ground.state.node_id,
            node_name=ground.state.name,
            host=HostSurroundings(ground.facts.machines, ground.files).now,
            entropy=ground.entropy,
        )

    async def _sign_in(self) -> tuple[AuthService, str | None]:
        """The started service, and the fragment of the set-up link when nobody can sign in yet."""
        ground = self._ground
        pool = BlockingPool("argon2", threads=2)
        ground.undo.push_async_callback(asyncio.to_thread, pool.close)
        auth = AuthService(
            self._store,
            ground.clock,
            self._bus,
            pool=pool,
            settings=AuthSettings(session_ttl_s=ground.settings.session_hours * 3600),
            entropy=ground.entropy,
        )
        await auth.start()
        ground.undo.push_async_callback(auth.aclose)
        return auth, await auth.first_start(ground.settings.admin_password or None)

    async def _consoles(
        self, drivers: Drivers, registry: VmRegistry, auth: AuthService
    ) -> tuple[ConsoleService, SerialLogs]:
        ground = self._ground
        logs = SerialLogs(paths=drivers.paths, files=ground.files)
        serial = SerialHub(paths=drivers.paths, logs=logs, states=registry, clock=ground.clock)
        await ground.undo.enter_async_context(serial)
        consoles = ConsoleService(
            tickets=TicketOffice(ground.clock, ground.entropy),
            viewers=Viewers(ground.clock),
            vnc=VncRelay(gate=drivers.gate, paths=drivers.paths, states=registry, clock=ground.clock),
            serial=serial,
            states=registry,
        )
        auth.on_ended(consoles.close_for)
        return consoles, logs

    async def _serve(
        self, routes: Sequence[AnyRoute], auth: AuthService, http: HttpSettings, tls: ssl.SSLContext | None
    ) -> HttpServer:
        ground = self._ground
        app = build_app(
            routes,
            authenticator=auth,
            tasks=self._tasks,
            audit=self._audit,
            rate_limiter=MovingWindows(http, ground.clock),
            idempotency=StoredAnswers(self._store, ground.clock, self._boot, node=ground.state.node_id),
            clock=ground.clock,
            settings=http,
            pages=await ground.files.run(lambda: Pages(web.assets.dist_folder())),
            entropy=ground.entropy,
        )
        server = HttpServer(app, ground.settings.host, ground.settings.port, tls=tls, settings=http)
        return await ground.undo.enter_async_context(server)


def _http_settings(settings: Settings) -> HttpSettings:
    return HttpSettings(
        is_rate_limited=settings.rate_limit == "on",
        requests_per_hour=settings.rate_limit_per_hour,
        backups_per_minute=settings.rate_limit_backup_per_minute,
        logins_per_minute=settings.rate_limit_login_per_minute,
        trusted_proxies=settings.trusted_proxies,
    )


async def _await_first_sight(registry: VmRegistry) -> None:
    """The hypervisor has told what runs, or is not going to for now: then states are shown as unknown until it does."""
    try:
        async with asyncio.timeout(FIRST_SIGHT_S):
            await registry.until_seen()
    except TimeoutError:
        log.warning("the hypervisor has not answered within %s s; serving without it", FIRST_SIGHT_S)


def _tell_of_work(task: Task, vms: VmRegistry, templates: TemplateRegistry, consoles: ConsoleService) -> None:
    """Those who must know that a task works on a VM or a template, no longer does, or has removed a VM."""
    for lock in task.locks:
        noun, _, id_ = lock.partition("/")
        if noun == "vm":
            vms.operation_changed(VmId(id_))
            if task.action in {"vm.delete", "template.create"} and id_ not in vms:
                consoles.forget_vm(VmId(id_))
        elif noun == "template":
            templates.operation_changed(id_)
