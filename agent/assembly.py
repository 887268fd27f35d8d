"""Puts the node together from the drivers it is given (`agent.wiring`).

store, replica, journal -> bus, tasks -> drivers -> storage, compute, console, sign-in -> recovery -> loops -> HTTP
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from agent import faults
from agent.api import docs as docs_api
from agent.api import health as health_api
from agent.api import host as host_api
from agent.api import quotas as quotas_api
from agent.api import storage as storage_api
from agent.api.tasks import TaskApi
from agent.asked import Asked
from agent.assembly_access import Consoles, access_routes, open_consoles, open_sign_in, serve
from agent.assembly_replication import Replicating, build_replication
from agent.assembly_vms import Registries, VmParts, build_vms, open_registries
from agent.audit import AuditLog
from agent.auth.service import AuthService
from agent.compute.registry import VmRegistry
from agent.compute.service import VmService
from agent.console.service import ConsoleService
from agent.events import EventBus
from agent.ground import Core, Drivers, Ground, OpenDrivers, lay_ground
from agent.http.app import HttpServer
from agent.http.route import AnyRoute
from agent.journal import Journal
from agent.loops import Loops
from agent.node import NodeState
from agent.storage.held import HeldVolumes
from agent.storage.service import StorageService
from agent.task_locks import TaskLocks
from agent.tasks import TaskEngine
from cluster.store.sqlite import SqliteStore
from horcrux.auth.permission import Role, Scope
from horcrux.auth.principal import Principal
from horcrux.config import Settings
from horcrux.ids import UserName, VmId
from horcrux.store import Store
from horcrux.tasks import Task

log = logging.getLogger("horcrux.agent")

FIRST_SIGHT_S = 3.0
AGENT = Principal(
    user=UserName("horcrux"),
    role=Role.OPERATOR,
    scopes=frozenset({Scope.VM_READ, Scope.VM_POWER}),
    token_id="agent",  # noqa: S106  a name, no secret
)
"""Whom the agent's own doing is booked under."""


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
            ground = await lay_ground(settings, state, undo)
            store = await SqliteStore.open(state.folder / "store.db", ground.clock)
            undo.push_async_callback(store.aclose)
            journal = await Journal.open(state.folder / "journal.db")
            undo.push_async_callback(journal.aclose)
            drivers = await open_drivers(ground)
            loops = await undo.enter_async_context(Loops())
            yield await _Assembly(ground, drivers, store, journal, loops).build(tls)
    except BaseExceptionGroup as group:
        raise _only_error(group) from None


def _only_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What went wrong, without the task groups that it passed through; the group where more than one thing did."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


class _Assembly:
    """Builds the services in the order in which they need each other."""

    def __init__(self, ground: Ground, drivers: Drivers, store: Store, journal: Journal, loops: Loops) -> None:
        self._ground = ground
        self._loops = loops
        self._locks = TaskLocks(store, ground.state.node_id, ground.clock)
        boot = ground.entropy(8).hex()
        events = EventBus(boot, ground.clock)
        tasks = TaskEngine(
            journal,
            self._locks,
            events,
            node=ground.state.name,
            clock=ground.clock,
            entropy=ground.entropy,
            failpoint=faults.failpoint(ground.settings.fail_at),
        )
        audit = AuditLog(journal, ground.clock)
        self._core = Core(
            ground=ground, drivers=drivers, store=store, boot=boot, events=events, tasks=tasks, audit=audit
        )

    async def build(self, tls: ssl.SSLContext | None) -> Node:
        core, ground = self._core, self._ground
        known = await open_registries(core)
        storage = await self._open_storage(known)
        vms = build_vms(core, known, storage)
        replicating = await build_replication(core, storage, known.vms, vms.still, Asked(principal=AGENT))
        sign_in = await open_sign_in(core)
        await self._recover(storage)
        self._run_loops(known.vms, storage, replicating)
        consoles = await open_consoles(core, known.vms, sign_in.auth)
        core.tasks.listen(lambda task: _tell_of_work(task, known, consoles.service))
        routes = self._routes(vms, storage, replicating, sign_in.auth, consoles)
        await _await_first_sight(known.vms)
        server = await serve(core, routes, sign_in.auth, tls)
        ground.undo.callback(core.events.close_listeners)
        ground.undo.callback(consoles.service.close)
        self._loops.run("autostart", self._autostart(vms.vms))
        return Node(ground.state.name, server, routes, setup_fragment=sign_in.setup_fragment)

    async def _open_storage(self, known: Registries) -> StorageService:
        core, ground = self._core, self._ground
        storage = StorageService(
            core.store,
            core.drivers.pools,
            core.tasks,
            core.events,
            HeldVolumes(known.vms, known.templates),
            node=ground.state.node_id,
            node_name=ground.state.name,
            state_dir=ground.state.folder,
            image_folders=[Path(folder) for folder in ground.settings.image_folders],
            clock=ground.clock,
            let_qemu_in=core.drivers.let_qemu_in,
        )
        ground.undo.push_async_callback(storage.close)
        await storage.start()
        return storage

    async def _recover(self, storage: StorageService) -> None:
        """What an earlier life left is undone, or being tried; tasks are taken."""
        tasks = self._core.tasks
        await tasks.start()
        await storage.quota_service.start()
        self._ground.undo.push_async_callback(tasks.aclose, self._ground.settings.stop_patience_s)

    def _run_loops(self, registry: VmRegistry, storage: StorageService, replicating: Replicating) -> None:
        tasks, audit, loops = self._core.tasks, self._core.audit, self._loops
        loops.run("task locks", self._locks.keep_alive(tasks.cut_all))
        loops.run("undo", tasks.recoveries.keep_trying())
        loops.run("audit", audit.run())
        loops.run("health of pools", storage.watch.follow())
        self._ground.undo.push_async_callback(audit.flush)
        loops.run("hypervisor", registry.follow())
        replicating.run(loops)

    def _routes(
        self,
        vms: VmParts,
        storage: StorageService,
        replicating: Replicating,
        auth: AuthService,
        consoles: Consoles,
    ) -> Sequence[AnyRoute]:
        core, ground = self._core, self._ground
        routes = (
            *health_api.routes(),
            *vms.routes(consoles.logs),
            *storage_api.routes(storage),
            *quotas_api.routes(storage.quota_service),
            *replicating.routes(),
            *TaskApi(core.tasks).routes(),
            *access_routes(core, auth, consoles.service),
            *host_api.routes(ground.probe, ground.state.name),
        )
        return (*routes, *docs_api.routes(routes))

    async def _autostart(self, vms: VmService) -> None:
        """After the host has booted, VMs that are marked so have been started, once."""
        state, files = self._ground.state, self._ground.files
        if await files.run(state.is_first_start_since_boot):
            for task in await vms.start_marked(Asked(principal=AGENT)):
                log.info("autostart of %s: %s", task.target, task.error.message if task.error else task.state)
            await files.run(state.remember_boot)


async def _await_first_sight(registry: VmRegistry) -> None:
    """The hypervisor has told what runs, or is not going to for now: then states are shown as unknown until it does."""
    try:
        async with asyncio.timeout(FIRST_SIGHT_S):
            await registry.until_seen()
    except TimeoutError:
        log.warning("the hypervisor has not answered within %s s; serving without it", FIRST_SIGHT_S)


def _tell_of_work(task: Task, known: Registries, consoles: ConsoleService) -> None:
    """Those who must know that a task works on a VM or a template, no longer does, or has removed a VM."""
    for lock in task.locks:
        noun, _, id_ = lock.partition("/")
        if noun == "vm":
            known.vms.operation_changed(VmId(id_))
            if task.action in {"vm.delete", "template.create"} and id_ not in known.vms:
                consoles.forget_vm(VmId(id_))
        elif noun == "template":
            known.templates.operation_changed(id_)
