"""What the storage services need of their neighbours."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from horcrux.storage.volume import VolumeUse

LetIn = Callable[[Path], object]
"""Makes the folders above a path enterable for QEMU (`agent.host.reach.open_way`); blocks, idempotent."""


class VolumeUses(Protocol):
    """What VMs and templates hold (`agent.storage.held.HeldVolumes` is the implementation). All from memory."""

    def uses(self, pool: str) -> Mapping[str, VolumeUse]:
        """By volume: the VM or the template that has it as a disk."""
        ...

    def image_uses(self, pool: str) -> Mapping[str, VolumeUse]:
        """By image: a VM that has it in its drive."""
        ...


class ReplicaRules(Protocol):
    """What may be done with volumes that are replicas of another node's (`agent.replication.replica_records`). From memory."""

    def replica_of(self, pool: str, volume: str) -> str | None:
        """`<node>/<vm>` for a replica."""
        ...

    def check_deletable(self, pool: str, volume: str) -> None:
        """InUse while its replication goes on."""
        ...

    def check_writable(self, pool: str, volume: str) -> None:
        """InUse for every replica."""
        ...

    async def deleted(self, pool: str, volume: str) -> None:
        """The volume is gone."""
        ...
