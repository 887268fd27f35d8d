"""What is known of every template: its document, from the replica, beside the VMs that stand on it. All from memory.

Every change of a template, and of which VMs stand on it, is published once as a `template` event.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from agent.compute.registry import VmRegistry
from agent.events import Publisher
from cluster.store.replica import Replica
from horcrux.auth.permission import Scope
from horcrux.compute.template import TemplateDocument, bases_of, volumes_of
from horcrux.compute.template_bodies import TemplateView
from horcrux.compute.vm import Disk, VmDocument
from horcrux.errors import NotFound
from horcrux.ids import NodeId, TaskId
from horcrux.storage.volume import VolumeUse
from horcrux.store import Collection, Document, Entry

log = logging.getLogger(__name__)

CATCH_UP_S = 2.0


class TemplateRegistry:
    """Built empty; `attach()` fills it from the replica, after the registry of VMs has been filled."""

    def __init__(
        self,
        templates: Collection[TemplateDocument],
        vms: VmRegistry,
        bus: Publisher,
        *,
        node: NodeId,
        node_name: str,
        task_of: Callable[[str], TaskId | None],
    ) -> None:
        self._templates = templates
        self._vms = vms
        self._bus = bus
        self._node = node
        self._node_name = node_name
        self._task_of = task_of
        self._known: dict[str, Document[TemplateDocument]] = {}
        self._pulse = asyncio.Event()
        """Set, and replaced by a fresh one, at every change."""

    def attach(self, replica: Replica) -> None:
        """Every document of the replica is known, and from now on every change of one."""
        for entry in replica.entries(self._templates.prefix):
            self._document_changed(entry.key, entry)
        replica.on_change(self._templates.prefix, self._document_changed)
        self._vms.listen(self._vm_changed)

    def find(self, id_: str) -> Document[TemplateDocument]:
        """NotFound."""
        known = self._known.get(id_)
        if known is None:
            raise NotFound(f"template {id_} does not exist", kind="template", id=id_)
        return known

    def __contains__(self, id_: str) -> bool:
        return id_ in self._known

    def views(self) -> list[TemplateView]:
        """By id."""
        standing = self._standing()
        return [self._view(self._known[id_], standing) for id_ in sorted(self._known)]

    def view(self, id_: str, *, ending: TaskId | None = None) -> TemplateView:
        """The task `ending`, which is about to be over, no longer counts as working on it. NotFound."""
        return self._view(self.find(id_), self._standing(), ending)

    def uses(self, pool: str) -> Mapping[str, VolumeUse]:
        """Which template has which volume of the pool, under each name that it has on its way to become a base."""
        return {
            name: VolumeUse(None, disk.name, id_)
            for id_, known in self._known.items()
            for disk in known.value.disks
            if disk.storage_pool == pool
            for name in (disk.volume, disk.made_of)
            if name is not None
        }

    async def caught_up(self, id_: str, revision: int | None) -> None:
        """The document is known as of `revision`, or (None) known to be gone; given up silently after 2 s."""
        try:
            async with asyncio.timeout(CATCH_UP_S):
                while not self._has_reached(id_, revision):
                    await self._pulse.wait()
        except TimeoutError:
            log.warning("template %s: the replica is more than %s s behind the store", id_, CATCH_UP_S)

    def operation_changed(self, id_: str) -> None:
        """A task began or ended to work on it."""
        if id_ in self._known:
            self._publish(id_)

    def _has_reached(self, id_: str, revision: int | None) -> bool:
        known = self._known.get(id_)
        if revision is None:
            return known is None
        return known is not None and known.revision >= revision

    def _view(
        self,
        known: Document[TemplateDocument],
        standing: Mapping[tuple[str, str], Sequence[str]],
        ending: TaskId | None = None,
    ) -> TemplateView:
        template = known.value
        task = self._task_of(f"template/{template.id}")
        return TemplateView.of(
            template,
            known.revision,
            node_name=self._node_name if template.node == self._node else template.node,
            linked_clones={id_ for volume in volumes_of(template) for id_ in standing.get(volume, ())},
            operation=None if task == ending else task,
        )

    def _standing(self) -> Mapping[tuple[str, str], Sequence[str]]:
        """Ids of what stands on each base, by (pool, volume)."""
        found: dict[tuple[str, str], list[str]] = {}
        for vm in self._vms.documents():
            for base in bases_of(vm.spec.disks):
                found.setdefault(base, []).append(vm.id)
        for known in self._known.values():
            for base in bases_of(known.value.disks):
                found.setdefault(base, []).append(known.value.id)
        return found

    def _document_changed(self, key: str, entry: Entry | None) -> None:
        id_ = key.removeprefix(self._templates.prefix)
        if entry is None:
            self._known.pop(id_, None)
            self._bus.publish("template", id_, None, Scope.VM_READ)
        else:
            self._known[id_] = self._templates.decode(entry)
            self._publish(id_)
        self._pulse.set()
        self._pulse = asyncio.Event()

    def _vm_changed(self, was: VmDocument | None, now: VmDocument | None) -> None:
        changed = bases_of(_disks(was)) ^ bases_of(_disks(now))
        if changed:
            for id_, known in self._known.items():
                if changed & volumes_of(known.value):
                    self._publish(id_)

    def _publish(self, id_: str) -> None:
        self._bus.publish("template", id_, self.view(id_), Scope.VM_READ)


def _disks(vm: VmDocument | None) -> Sequence[Disk]:
    return () if vm is None else vm.spec.disks
