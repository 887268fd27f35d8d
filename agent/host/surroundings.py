"""What a VM may ask of this host: its emulators (looked up once, at start) and its bridges (looked up each time)."""

from collections.abc import Iterable
from pathlib import Path

from agent.blocking import BlockingPool
from horcrux.compute.order import Surroundings
from horcrux.compute.vm import Architecture


class HostSurroundings:
    def __init__(self, architectures: Iterable[Architecture], files: BlockingPool, root: Path = Path("/")) -> None:
        self._architectures = tuple(architectures)
        self._files = files
        self._root = root

    async def now(self) -> Surroundings:
        """Without pools and images, which storage knows."""
        bridges = await self._files.run(_bridges, self._root)
        return Surroundings(architectures=self._architectures, pools=frozenset(), images={}, bridges=bridges)


def _bridges(root: Path) -> frozenset[str]:
    return frozenset(path.parent.name for path in (root / "sys/class/net").glob("*/bridge"))
