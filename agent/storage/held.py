"""Who holds which volume, all holders together."""

from collections.abc import Mapping
from typing import Protocol

from agent.storage.ports import VolumeUses
from horcrux.storage.volume import VolumeUse


class Holder(Protocol):
    """Something beside VMs that has volumes (`agent.compute.template_registry`). From memory."""

    def uses(self, pool: str) -> Mapping[str, VolumeUse]:
        """By volume."""
        ...


class HeldVolumes:
    """Implements VolumeUses for VMs and templates."""

    def __init__(self, vms: VolumeUses, templates: Holder) -> None:
        self._vms = vms
        self._templates = templates

    def uses(self, pool: str) -> Mapping[str, VolumeUse]:
        """By volume."""
        return {**self._templates.uses(pool), **self._vms.uses(pool)}

    def image_uses(self, pool: str) -> Mapping[str, VolumeUse]:
        """By image: a VM that has it in its drive."""
        return self._vms.image_uses(pool)
