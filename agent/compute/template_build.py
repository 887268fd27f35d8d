"""Puts the services of templates together."""

from collections.abc import Callable

from agent.blocking import BlockingPool
from agent.compute.driver import Hypervisor
from agent.compute.ports import TemplateDisks
from agent.compute.registry import VmRegistry
from agent.compute.service import VmService
from agent.compute.template_firmware import FirmwareVariables
from agent.compute.template_life import TemplateLife
from agent.compute.template_registry import TemplateRegistry
from agent.compute.template_service import TemplateService
from agent.events import Publisher
from agent.node import NodeState
from agent.tasks import TaskSubmitter
from cluster.store.replica import Replica
from horcrux.compute.domain import HostFacts
from horcrux.compute.template import TemplateDocument
from horcrux.compute.vm import VmDocument
from horcrux.ids import TaskId
from horcrux.store import Collection, Store


def template_documents(store: Store) -> Collection[TemplateDocument]:
    return Collection(store, "template", TemplateDocument)


def known_templates(
    store: Store,
    vms: VmRegistry,
    bus: Publisher,
    replica: Replica,
    task_of: Callable[[str], TaskId | None],
    node: NodeState,
) -> TemplateRegistry:
    """The registry, filled from the replica."""
    registry = TemplateRegistry(
        template_documents(store), vms, bus, node=node.node_id, node_name=node.name, task_of=task_of
    )
    registry.attach(replica)
    return registry


def build_templates(
    registry: TemplateRegistry,
    vms: VmService,
    disks: TemplateDisks,
    hypervisor: Hypervisor,
    tasks: TaskSubmitter,
    *,
    store: Store,
    facts: HostFacts,
    files: BlockingPool,
) -> TemplateService:
    """The service; recoveries are registered with `tasks`."""
    templates = template_documents(store)
    documents = Collection(store, "vm", VmDocument)
    firmware = FirmwareVariables(facts.state_dir, files)
    life = TemplateLife(templates, documents, disks, hypervisor, firmware, tasks)
    return TemplateService(templates, documents, registry, vms, life, firmware, disks, tasks, node=facts.node_id)
