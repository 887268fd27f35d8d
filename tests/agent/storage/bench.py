"""A storage service on a real task engine, a real journal and a real folder; the driver is the test's choice."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from agent.asked import Asked
from agent.faults import never
from agent.journal import Journal
from agent.storage.driver import StorageDriver
from agent.storage.fake import FakeStorageDriver
from agent.storage.image import Expected
from agent.storage.service import StorageService
from agent.task_locks import TaskLocks
from agent.tasks import TaskEngine
from cluster.store.memory import MemoryStore
from horcrux.auth.permission import ROLE_SCOPES, Role
from horcrux.auth.principal import Principal
from horcrux.ids import NodeId, TaskId, UserName
from horcrux.storage.pool import PoolType
from horcrux.storage.volume import VolumeUse
from horcrux.tasks import Recovery, Task, TaskState
from tests.support.auth import Heard
from tests.support.clock import FakeClock

NODE = NodeId("n0000000a")
CUT_TASK = TaskId("0" * 26)
ADA = Asked(
    principal=Principal(
        user=UserName("ada"), role=Role.OPERATOR, scopes=ROLE_SCOPES[Role.OPERATOR], token_id="session-ada"
    ),
    request_id="r1",
)


class Uses:
    """`VolumeUses` that the test fills."""

    def __init__(self) -> None:
        self.volumes: dict[str, VolumeUse] = {}
        self.images: dict[str, VolumeUse] = {}

    def uses(self, pool: str) -> Mapping[str, VolumeUse]:
        return self.volumes if pool == "local" else {}

    def image_uses(self, pool: str) -> Mapping[str, VolumeUse]:
        return self.images if pool == "local" else {}


class Bench:
    def __init__(self, folder: Path, store: MemoryStore, journal: Journal, driver: StorageDriver) -> None:
        clock = FakeClock()
        self.folder = folder
        self.store = store
        self.driver = driver
        self.events = Heard()
        self.uses = Uses()
        self.let_in: list[Path] = []
        locks = TaskLocks(store, NODE, clock)
        self.engine = TaskEngine(
            journal, locks, self.events, node=NODE, clock=clock, entropy=os.urandom, failpoint=never
        )
        self.service = StorageService(
            store,
            {PoolType.DIR: driver},
            self.engine,
            self.events,
            self.uses,
            node=NODE,
            node_name="alpha",
            state_dir=folder,
            image_folders=[folder / "shared"],
            clock=clock,
            let_qemu_in=self.let_in.append,
        )

    @property
    def target(self) -> Path:
        """Folder of the pool `local`."""
        return self.folder / "pools" / "local"

    async def done(self, task: Task) -> dict[str, object] | None:
        """Result of a task that has to end well."""
        ended = await self.engine.wait(task.id)
        assert ended.state is TaskState.COMPLETED, ended.error
        return ended.result

    async def failed(self, task: Task) -> tuple[str, str]:
        """Code and sentence of a task that has to fail."""
        ended = await self.engine.wait(task.id)
        assert ended.state is TaskState.FAILED
        assert ended.error is not None
        return ended.error.code, ended.error.message

    async def upload(self, name: str, content: bytes, sha256: str | None = None, pool: str = "local") -> Task:
        expected = Expected(length=len(content), sha256=sha256)
        return await self.service.images.upload(pool, name, pieces(content), expected, ADA)

    def told(self, kind: str) -> list[tuple[str, bool]]:
        """What listeners heard of a kind of object: its id, and whether it is there."""
        return [(id_, data is not None) for k, id_, data, _ in self.events.events if k == kind]


async def pieces(content: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


async def leave_unfinished(folder: Path, kind: str, **args: str) -> None:
    """The journal of a life that ended in the middle of a task which had recorded this undo."""
    journal = await Journal.open(folder / "journal.db")
    task = Task(
        id=CUT_TASK,
        action="test.cut",
        target="test/cut",
        node=NODE,
        user=ADA.principal.user,
        state=TaskState.RUNNING,
        created_at=1.0,
    )
    await journal.put_task(task)
    await journal.add_recovery(task.id, 0, Recovery(kind, args))
    await journal.aclose()


@asynccontextmanager
async def running(
    folder: Path, store: MemoryStore | None = None, driver: StorageDriver | None = None
) -> AsyncIterator[Bench]:
    """One life of the agent's storage. The same folder, store and driver again is the next life."""
    journal = await Journal.open(folder / "journal.db")
    bench = Bench(folder, store or MemoryStore(FakeClock()), journal, driver or FakeStorageDriver())
    await bench.service.start()
    await bench.engine.start()
    try:
        yield bench
    finally:
        await bench.engine.aclose(patience_s=5)
        await bench.service.close()
        await journal.aclose()
