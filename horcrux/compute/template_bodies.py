"""Bodies of the template and clone calls, as `horcrux.md` and our additions have them. Units as in `vm_bodies`."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Self

import msgspec
from msgspec import UNSET, UnsetType

from horcrux.compute.template import TemplateDocument
from horcrux.compute.vm import Architecture, CloudInit, Firmware, Phase


class NewTemplate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`keep_vm`: the template gets copies of the VM's disks. Without it the VM itself becomes the template, at once."""

    vm_id: str
    name: str | None = None
    """None: as the VM."""
    id: str | None = None
    """None: `tmpl-100` for `vm-100`."""
    keep_vm: bool = True
    notes: str = ""


class CloneType(StrEnum):
    LINKED = "linked"
    """It shares what it does not change with the template; made in a moment."""
    FULL = "full"
    """A copy of its own."""


class CloneTemplate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out is as in the template. Address, UUID and cloud-init instance are always new."""

    new_vm_id: str
    clone_type: CloneType = CloneType.LINKED
    name: str | None = None
    """None: as the id."""
    storage_pool: str | None = None
    """Where a full clone's disks go; None: where the template's are."""
    start: bool = False
    cpu_cores: int | None = None
    memory_mb: int | None = None
    cloud_init: CloudInit | UnsetType | None = UNSET
    """null: none."""
    tags: tuple[str, ...] | None = None


class CloneVm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    new_vm_id: str
    name: str | None = None
    """None: as the id."""
    storage_pool: str | None = None
    """Where the copies of its disks go; None: where the disks are."""
    start: bool = False


class TemplateDiskView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    storage_pool: str
    volume: str
    size_gb: float
    format: str


class TemplateView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    state: Phase
    source_vm: str
    node: str
    user: str
    created_at: int
    notes: str
    tags: tuple[str, ...]
    architecture: Architecture
    firmware: Firmware
    cpu_cores: int
    memory_mb: int
    disks: tuple[TemplateDiskView, ...]
    linked_clones: tuple[str, ...]
    """VMs (and templates made of such) that stand on its volumes: it cannot be deleted before them."""
    operation: str | None
    """Id of the task that makes or deletes it."""
    revision: int
    """The ETag's number, for If-Match."""

    @classmethod
    def of(
        cls,
        template: TemplateDocument,
        revision: int,
        *,
        node_name: str,
        linked_clones: Iterable[str],
        operation: str | None,
    ) -> Self:
        spec = template.spec
        return cls(
            id=template.id,
            name=template.name,
            state=template.phase,
            source_vm=template.source_vm,
            node=node_name,
            user=template.user,
            created_at=int(template.created_at),
            notes=template.notes,
            tags=template.tags,
            architecture=spec.architecture,
            firmware=spec.firmware,
            cpu_cores=spec.cpu_cores,
            memory_mb=spec.memory_mb,
            disks=tuple(
                TemplateDiskView(
                    name=d.name, storage_pool=d.storage_pool, volume=d.volume, size_gb=d.size_gb, format=d.format
                )
                for d in template.disks
            ),
            linked_clones=tuple(sorted(linked_clones)),
            operation=operation,
            revision=revision,
        )
