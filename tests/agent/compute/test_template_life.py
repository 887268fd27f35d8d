"""A template's deletion against clones that come at the worst moment, and recoveries that find another template."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from agent.blocking import BlockingPool
from agent.compute.fake import FakeHypervisor
from agent.compute.template_firmware import FirmwareVariables
from agent.compute.template_life import TemplateLife
from agent.events import EventBus
from agent.faults import never
from agent.journal import Journal
from agent.storage.fake import FakeStorageDriver
from agent.storage.service import StorageService
from agent.task_locks import TaskLocks
from agent.tasks import Body, TaskEngine, TaskOrder
from cluster.store.memory import MemoryStore
from horcrux.compute.domain import HostFacts
from horcrux.compute.template import TemplateDisk, TemplateDocument
from horcrux.compute.vm import Disk, Phase, VmDocument, VmSpec
from horcrux.errors import InUse
from horcrux.ids import NodeId, PoolId, UserName, VmId
from horcrux.storage.pool import PoolDocument, PoolType
from horcrux.storage.volume import VolumeUse
from horcrux.store import Collection, Compare, Op, TxnResult
from horcrux.tasks import Recovery, Task, TaskState
from tests.support.clock import FakeClock

NODE, LOCAL = NodeId("n00000000"), PoolId("local")
Hook = Callable[[Sequence[Op]], Awaitable[None]]


class Interposed(MemoryStore):
    """Calls `before` once, before a transaction that writes what `marks` is in."""

    marks = b""
    before: Hook | None = None

    async def txn(self, compares: Sequence[Compare], then: Sequence[Op], otherwise: Sequence[Op] = ()) -> TxnResult:
        before = self.before
        if before is not None and any(self.marks in getattr(op, "value", b"") for op in then):
            self.before = None
            await before(then)
        return await super().txn(compares, then, otherwise)


class Nobody:
    """No VM holds a volume."""

    def uses(self, pool: str) -> dict[str, VolumeUse]:
        return {}

    def image_uses(self, pool: str) -> dict[str, VolumeUse]:
        return {}


class Driver(FakeStorageDriver):
    """Its volumes may be open: then none is deleted."""

    is_open = False

    async def delete_volume(self, pool: PoolDocument, name: str) -> None:
        if self.is_open:
            raise InUse(f"volume {name} is open")
        await super().delete_volume(pool, name)


class Bench:
    """A template `tmpl-1` with one volume, and what it takes to delete it."""

    def __init__(
        self, store: Interposed, driver: Driver, engine: TaskEngine, storage: StorageService, life: TemplateLife
    ) -> None:
        self.store = store
        self.driver = driver
        self.templates = Collection(store, "template", TemplateDocument)
        self.vms = Collection(store, "vm", VmDocument)
        self.engine = engine
        self.storage = storage
        self.life = life

    async def make(self, phase: Phase = Phase.READY) -> TemplateDocument:
        await self.storage.create_disk(LOCAL, "raw", 1 << 20, None, lambda _fraction: None)
        await self.storage.make_base(LOCAL, "raw", "base-1-disk0")
        disk = TemplateDisk(name="disk0", storage_pool=LOCAL, volume="base-1-disk0", size_bytes=1 << 20)
        template = TemplateDocument(
            id="tmpl-1",
            uuid="first",
            name="Golden",
            source_vm=VmId("vm-1"),
            node=NODE,
            user="ann",
            phase=phase,
            spec=VmSpec(name="golden", cpu_cores=1, memory_mb=64),
            disks=(disk,),
            created_at=0.0,
        )
        await self.templates.create("tmpl-1", template)
        return template

    async def come(self, _ops: Sequence[Op] = ()) -> None:
        """The document of a linked clone comes, as `VmBirth` lets it: only while the template stands as it was read."""
        seen = await self.templates.get("tmpl-1")
        disk = Disk(name="disk0", storage_pool=LOCAL, volume="c-disk0", size_gb=1, base="base-1-disk0")
        vm = VmDocument(
            id=VmId("clone"),
            uuid="u",
            owner=NODE,
            phase=Phase.CREATING,
            spec=VmSpec(name="c", cpu_cores=1, memory_mb=64, disks=(disk,)),
            created_at=0.0,
            template="tmpl-1",
        )
        await self.vms.create("clone", vm, when=[Compare(seen.key, "mod", seen.revision)])

    async def delete(self) -> Task:
        """How the task of a deletion ended."""

        async def body(run: object) -> None:
            await self.life.delete(run, "tmpl-1")  # type: ignore[arg-type]  # Body hands a TaskRun

        return await self.run(body)

    async def run(self, body: Body) -> Task:
        order = TaskOrder(action="template.delete", target="template/tmpl-1", user=UserName("ann"))
        return await self.engine.wait((await self.engine.submit(order, body)).id)

    async def recover(self, kind: str, uuid: str = "first", before: Phase = Phase.READY) -> None:
        """What the next life does about a task that was cut off."""
        recovery = Recovery(kind, {"id": "tmpl-1", "uuid": uuid, "before": before})
        await self.engine.recoveries.known(recovery)(recovery.args)

    async def phase(self) -> Phase | None:
        found = await self.templates.find("tmpl-1")
        return None if found is None else found.value.phase


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    clock = FakeClock()
    store, driver = Interposed(clock), Driver()
    journal = await Journal.open(tmp_path / "journal.db")
    bus = EventBus("boot", clock)
    locks = TaskLocks(store, "n1", clock)
    engine = TaskEngine(journal, locks, bus, node="n1", clock=clock, entropy=os.urandom, failpoint=never)
    storage = StorageService(
        store,
        {PoolType.DIR: driver},
        engine,
        bus,
        Nobody(),
        node=NODE,
        node_name="n1",
        state_dir=tmp_path,
        image_folders=[],
        clock=clock,
        let_qemu_in=lambda _path: None,
    )
    facts = HostFacts(node_id=NODE, runtime_dir=str(tmp_path / "run"), state_dir=str(tmp_path), machines={})
    files = BlockingPool("files")
    life = TemplateLife(
        Collection(store, "template", TemplateDocument),
        Collection(store, "vm", VmDocument),
        storage,
        FakeHypervisor(facts),
        FirmwareVariables(facts.state_dir, files),
        engine,
    )
    await storage.start()
    await engine.start()
    yield Bench(store, driver, engine, storage, life)
    await engine.aclose()
    await storage.close()
    await journal.aclose()
    await asyncio.to_thread(files.close)


async def test_a_clone_that_comes_just_before_the_mark_makes_the_deletion_fail(bench: Bench) -> None:
    await bench.make()
    bench.store.marks, bench.store.before = b'"phase":"deleting"', bench.come
    ended = await bench.delete()
    assert (ended.state, ended.error and ended.error.code) == (TaskState.FAILED, "in_use")
    assert await bench.phase() is Phase.READY
    assert await bench.storage.has_volume(LOCAL, "base-1-disk0")


async def test_a_deletion_that_was_cut_off_after_the_mark_is_taken_back_when_a_clone_had_come(bench: Bench) -> None:
    await bench.make(Phase.DELETING)
    await bench.come()
    await bench.recover("template.finish_delete")
    assert await bench.phase() is Phase.READY


async def test_a_deletion_that_was_cut_off_after_the_mark_is_done_to_the_end(bench: Bench) -> None:
    await bench.make(Phase.DELETING)
    for _ in range(2):
        await bench.recover("template.finish_delete")
        assert await bench.phase() is None
        assert not await bench.storage.has_volume(LOCAL, "base-1-disk0")


@pytest.mark.parametrize("before", [Phase.READY, Phase.CREATING])
async def test_a_deletion_that_is_taken_back_gives_the_phase_back_that_was(bench: Bench, before: Phase) -> None:
    await bench.make(Phase.DELETING)
    await bench.come()
    await bench.recover("template.finish_delete", before=before)
    assert await bench.phase() is before


async def test_a_deletion_that_had_removed_a_volume_is_never_taken_back(bench: Bench) -> None:
    await bench.make(Phase.DELETING)
    await bench.come()
    await bench.storage.delete_disk(LOCAL, "base-1-disk0")
    with pytest.raises(InUse):
        await bench.recover("template.finish_delete", before=Phase.READY)
    assert await bench.phase() is Phase.DELETING


async def test_a_deletion_that_meets_an_open_volume_is_tried_again(bench: Bench) -> None:
    await bench.make()
    bench.driver.is_open = True
    ended = await bench.delete()
    assert (ended.state, ended.error and ended.error.code) == (TaskState.FAILED, "in_use")
    assert await bench.phase() is Phase.DELETING
    with pytest.raises(InUse, match="open"):
        await bench.recover("template.finish_delete", before=Phase.READY)
    bench.driver.is_open = False
    await bench.recover("template.finish_delete", before=Phase.READY)
    assert await bench.phase() is None


async def test_a_volume_that_stands_on_a_template_and_is_nobodys_keeps_it(bench: Bench) -> None:
    await bench.make()
    await bench.storage.link_disk(LOCAL, "base-1-disk0", "stray")
    ended = await bench.delete()
    assert ended.error is not None
    assert ended.error.details["used_by"] == ["local/stray"]
    assert await bench.phase() is Phase.READY


@pytest.mark.parametrize("kind", ["template.uncreate", "template.finish_turn", "template.finish_delete"])
async def test_a_recovery_leaves_another_template_of_that_id_alone(bench: Bench, kind: str) -> None:
    for phase in (Phase.CREATING, Phase.DELETING):
        await bench.make(phase)
        await bench.recover(kind, uuid="an earlier one")
        assert await bench.phase() is phase
        await bench.templates.delete("tmpl-1")
        await bench.storage.delete_disk(LOCAL, "base-1-disk0")
