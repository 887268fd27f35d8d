"""What a clone is to be: a spec and its disks, from a template (or a VM described as one) and what was ordered.

Pure, as `order.py`: names and addresses are handed in.
"""

from collections.abc import Callable, Sequence

import msgspec
from msgspec import UNSET

from horcrux.compute.order import PlannedDisk, Problems, VolumeRef, check_seed, check_sizes, check_words
from horcrux.compute.template import TemplateDisk, TemplateDocument
from horcrux.compute.template_bodies import CloneTemplate, CloneType
from horcrux.compute.vm import Disk, Nic, VmSpec
from horcrux.errors import invalid_field
from horcrux.ids import PoolId, VmId


def target_pools(template: TemplateDocument, order: CloneTemplate, pools: frozenset[str]) -> list[PoolId]:
    """Where each disk of the clone goes; InvalidFields for a pool that does not exist, or a linked clone in another pool."""
    if order.storage_pool is None:
        return [disk.storage_pool for disk in template.disks]
    if order.clone_type is CloneType.LINKED:
        raise invalid_field("storage_pool", "a linked clone stays in the pool of its template; ask for a full one")
    if order.storage_pool not in pools:
        known = ", ".join(sorted(pools)) or "none"
        raise invalid_field("storage_pool", f"there is no pool {order.storage_pool!r}; there are: {known}")
    return [PoolId(order.storage_pool)] * len(template.disks)


def plan_clone(
    template: TemplateDocument,
    order: CloneTemplate,
    vm_id: VmId,
    places: Sequence[tuple[PoolId, str]],
    new_mac: Callable[[], str],
) -> tuple[VmSpec, tuple[PlannedDisk, ...]]:
    """The spec of the clone and how its disks are made; `places` has (pool, volume) for each disk of the template.

    Raises InvalidFields with every problem found.
    """
    spec, problems = template.spec, Problems()
    cpu_cores = spec.cpu_cores if order.cpu_cores is None else order.cpu_cores
    memory_mb = spec.memory_mb if order.memory_mb is None else order.memory_mb
    check_sizes(problems, cpu_cores, memory_mb)
    check_words(problems, order.name, None, None, order.tags or (), "")
    seed = spec.cloud_init if order.cloud_init is UNSET else check_seed(problems, order.cloud_init)
    problems.raise_if_any()
    disks = tuple(_planned(disk, place, order.clone_type) for disk, place in zip(template.disks, places, strict=True))
    wanted = msgspec.structs.replace(
        spec,
        name=order.name or vm_id,
        cpu_cores=cpu_cores,
        memory_mb=memory_mb,
        cloud_init=seed,
        disks=tuple(planned.disk for planned in disks),
        nics=tuple(Nic(mac=new_mac(), model=n.model, bridge=n.bridge, vnet=n.vnet) for n in template.nics),
    )
    return wanted, disks


def _planned(origin: TemplateDisk, place: tuple[PoolId, str], clone_type: CloneType) -> PlannedDisk:
    is_linked = clone_type is CloneType.LINKED
    disk = Disk(
        name=origin.name,
        storage_pool=place[0],
        volume=place[1],
        size_gb=origin.size_gb,
        bus=origin.bus,
        cache=origin.cache,
        format=origin.format,
        base=origin.volume if is_linked else None,
    )
    copy_of = None if is_linked else VolumeRef(origin.storage_pool, origin.volume)
    return PlannedDisk(disk=disk, size_bytes=origin.size_bytes, copy_of=copy_of)
