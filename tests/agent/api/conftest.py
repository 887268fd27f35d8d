"""One node on the fakes for all tests of a module; each test takes names of its own."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.api import Api
from tests.support.node import FakeNode, fake_node


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FakeNode]:
    async with fake_node(tmp_path_factory.mktemp("node")) as node:
        yield node


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(shared_node: FakeNode) -> AsyncIterator[Api]:
    async with shared_node.session() as session:
        yield Api(session)
