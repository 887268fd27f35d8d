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
