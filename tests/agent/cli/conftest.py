"""The stub agent that commands are tried on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.stub_agent import StubAgent, stub_agent


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[StubAgent]:
    async with stub_agent(tmp_path) as stub:
        yield stub
