from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.guests import Driver, FakeWorld, World, libvirt_world


@pytest.fixture(params=["fake", pytest.param("libvirt", marks=pytest.mark.libvirt)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A host without guests."""
    if request.param == "fake":
        yield FakeWorld()
        return
    with libvirt_world() as real:
        yield real


@pytest.fixture
async def driver(world: World) -> AsyncIterator[Driver]:
    async with world.open() as opened:
        yield opened
