from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.storage.driver import StorageDriver, VolumeClones, VolumeSnapshots, clones_of, snapshots_of
from horcrux.storage.pool import PoolDocument
from tests.support.storage_drivers import SUBJECTS, Opened, Subject


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test runs on every subject that can do what its fixtures need; with `format_`, in every format of it."""
    if "subject" not in metafunc.fixturenames:
        return
    wanted = set(metafunc.fixturenames)
    subjects = [
        subject
        for subject in SUBJECTS
        if (subject.can_snapshot or "snapshots" not in wanted)
        and (subject.can_clone or "clones" not in wanted)
        and (subject.has_content or "content" not in wanted)
    ]
    if "format_" not in wanted:
        metafunc.parametrize("subject", [pytest.param(s, id=s.name, marks=s.marks) for s in subjects])
        return
    both = [
        pytest.param(s, format_, id=f"{s.name}-{format_}", marks=s.marks) for s in subjects for format_ in s.formats
    ]
    metafunc.parametrize(("subject", "format_"), both)


@pytest.fixture
async def opened(subject: Subject, tmp_path: Path) -> AsyncIterator[Opened]:
    async with subject.open(tmp_path) as opened:
        yield opened


@pytest.fixture
def driver(opened: Opened) -> StorageDriver:
    return opened.driver


@pytest.fixture
async def pool(opened: Opened) -> AsyncIterator[PoolDocument]:
    document = opened.describe("fast.ssd_1")
    await opened.driver.open(document)
    yield document
    await opened.driver.remove(document)


@pytest.fixture
def snapshots(driver: StorageDriver, pool: PoolDocument) -> VolumeSnapshots:
    return snapshots_of(driver, pool)


@pytest.fixture
def clones(driver: StorageDriver, pool: PoolDocument) -> VolumeClones:
    return clones_of(driver, pool)


@pytest.fixture
def content(subject: Subject) -> None:
    """A test that has it reads and writes what volumes hold (`tests.support.storage_drivers`)."""
    assert subject.has_content
