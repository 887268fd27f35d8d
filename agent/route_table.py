"""The whole route table, for what needs the rows alone: the OpenAPI document that is checked in.

python -m agent.route_table [--check]     writes docs/openapi.json, or tells that it is out of date
"""

import asyncio
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from agent.assembly import open_node
from agent.http.openapi import document_bytes
from agent.http.route import AnyRoute
from agent.node import NodeState
from agent.wiring import fake_drivers
from horcrux import __version__
from horcrux.config import Settings

DOCUMENT = Path(__file__).parents[1] / "docs" / "openapi.json"


async def all_routes(folder: Path) -> Sequence[AnyRoute]:
    """The rows of a node that stands on the fakes, with `folder` for its state."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = Settings(state_dir=str(folder / "state"), run_dir=str(folder / "run"), listen=f"127.0.0.1:{port}")
    state = NodeState.open(Path(settings.state_dir), "node", os.urandom)
    try:
        async with open_node(settings, state, fake_drivers) as node:
            return node.routes
    finally:
        state.close()


def main(arguments: Sequence[str]) -> int:
    with TemporaryDirectory(prefix="hx-", dir="/tmp") as folder:
        wanted = document_bytes(asyncio.run(all_routes(Path(folder))), __version__)
    if "--check" in arguments:
        is_current = DOCUMENT.exists() and DOCUMENT.read_bytes() == wanted
        if not is_current:
            sys.stdout.write("docs/openapi.json is out of date: .venv/bin/python -m agent.route_table\n")
        return 0 if is_current else 1
    DOCUMENT.write_bytes(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
