"""Pools on a volume group of LVM, or on a thin pool in it: volumes are raw block devices.

Ours are the logical volumes with the tag `horcrux.<node>`, so that the host's own (its root, its swap) and another node's are
never touched. While a volume is being filled it has the tag `horcrux-part.<node>` in its place, and is no volume yet.

Space of a volume group comes back as it was left: a thick volume is overwritten with zeros before anybody sees it. A thin
pool does that by itself when it gives out a block, unless it was told not to. Growth is marked by a tag until that is done.
"""

import asyncio

from agent.blocking import BlockingPool
from agent.storage.copying import content_bytes
from agent.storage.driver import Progress, VolumeClones
from agent.storage.lvm import LogicalVolume, Lvm, VolumeGroup
from agent.storage.lvm_clones import LvmClones
from agent.storage.lvm_tags import BASE, part_tag, volume_tag, zero_from, zero_from_tag
from agent.storage.qemu_img import QemuImg
from agent.storage.zeros import fill_with_zeros
from horcrux.errors import HorcruxError, Unavailable, invalid_field
from horcrux.ids import NodeId, PoolId
from horcrux.storage.pool import FoundPool, Health, PoolDocument, PoolSeen, PoolType
from horcrux.storage.refusals import base_never_changes, check_grows, no_volume, volume_taken
from horcrux.storage.volume import AS_THE_POOL, Volume, VolumeKind, VolumeOptions

NEARLY_FULL_PERCENT = 90
"""Of a thin pool. What is full stops every guest on it, whatever was promised."""


class LvmPoolDriver:
    def __init__(self, node: NodeId) -> None:
        self._tag = volume_tag(node)
        self._part = part_tag(node)
        self._lvm = Lvm()
        self._files = BlockingPool("lvm-copy", 2)
        self._qemu = QemuImg(self._files)
        self._open: set[PoolId] = set()
        self._growing = asyncio.Lock()
        """Held while a volume grows: who finds one half grown waits for it, or ends what a dead agent began."""
        self._clones = LvmClones(self.find_volume, self.list_volumes, self._lvm, self._tag)

    async def close(self) -> None:
        """The threads are gone. Calls under way end first."""
        await self._lvm.close()
        await asyncio.to_thread(self._files.close)

    async def open(self, pool: PoolDocument) -> None:
        rows = await self._lvm.volumes(pool.target)
        thin = pool.options.get("thin_pool")
        if thin is not None and not any(row.lv_name == thin and row.lv_attr.startswith("t") for row in rows):
            raise Unavailable(f"volume group {pool.target} has no thin pool {thin}", pool=pool.id)
        for row in self._ours(pool, rows):
            if not row.is_active:
                await self._lvm.run("lvchange", "-ay", "-K", f"{pool.target}/{row.lv_name}")
        self._open.add(pool.id)

    async def remove(self, pool: PoolDocument) -> None:
        self._open.discard(pool.id)

    async def look(self, pool: PoolDocument) -> PoolSeen:
        try:
            self._check_open(pool)
            (group,) = await self._lvm.groups(pool.target)
            thin = await self._thin_pool(pool)
        except HorcruxError as err:
            return PoolSeen(id=pool.id, is_active=False, reason=str(err))
        problems = [*_group_problems(group), *_thin_problems(thin)]
        return PoolSeen(
            id=pool.id,
            is_active=True,
            total_bytes=group.vg_size if thin is None else thin.lv_size,
            available_bytes=group.vg_free if thin is None else thin.lv_size - thin.used_bytes,
            health=Health.DEGRADED if problems else Health.GOOD,
            problems=tuple(problems),
        )

    async def found_pools(self) -> list[FoundPool]:
        try:
            groups = await self._lvm.groups()
        except HorcruxError:  # no LVM here: it has no groups
            return []
        return [
            FoundPool(
                storage_type=PoolType.LVM,
                target=group.vg_name,
                total_bytes=group.vg_size,
                available_bytes=group.vg_free,
                health=Health.DEGRADED if _group_problems(group) else Health.GOOD,
                problems=tuple(_group_problems(group)),
            )
            for group in sorted(groups, key=lambda group: group.vg_name)
        ]

    def clones(self, pool: PoolDocument) -> VolumeClones | None:
        return self._clones if "thin_pool" in pool.options else None

    def formats(self, pool: PoolDocument) -> tuple[str, ...]:
        return ("raw",)

    def image_folder(self, pool: PoolDocument) -> str | None:
        return None

    async def list_volumes(self, pool: PoolDocument) -> list[Volume]:
        rows = self._ours(pool, await self._rows(pool))
        return sorted((_as_volume(pool, row) for row in rows if self._tag in row.tags), key=lambda v: v.name)

    async def find_volume(self, pool: PoolDocument, name: str) -> Volume:
        row = await self._row(pool, name)
        if zero_from(row.tags) is not None:
            async with self._growing:
                row = await self._zeroed(pool, name)
        return _as_volume(pool, row)

    async def create_volume(
        self,
        pool: PoolDocument,
        name: str,
        capacity_bytes: int,
        format_: str,
        options: VolumeOptions = AS_THE_POOL,
    ) -> Volume:
        device = await self._make(pool, name, capacity_bytes, options)
        if "thin_pool" not in pool.options:
            await fill_with_zeros(self._files, device)
        return await self._whole(pool, name)

    async def fill_volume(
        self, pool: PoolDocument, name: str, source: str, source_format: str, format_: str, progress: Progress
    ) -> Volume:
        size_bytes = await self._files.run(content_bytes, name, source, source_format)
        thin = await self._thin_pool(pool)
        is_blank = thin is not None and thin.zeroes
        device = await self._make(pool, name, size_bytes, AS_THE_POOL)
        await self._qemu.convert((source, source_format), (device, "raw"), progress, is_blank_device=is_blank)
        if thin is None:
            await fill_with_zeros(self._files, device, size_bytes)
        return await self._whole(pool, name)

    async def resize_volume(self, pool: PoolDocument, name: str, capacity_bytes: int) -> Volume:
        async with self._growing:
            row = await self._zeroed(pool, name)
            check_grows(pool.id, name, row.lv_size, capacity_bytes)
            if BASE in row.tags:
                raise base_never_changes(pool.id, name)
            if capacity_bytes > row.lv_size:
                path = f"{pool.target}/{name}"
                if not row.pool_lv:
                    await self._lvm.run("lvchange", "-q", "--addtag", zero_from_tag(row.lv_size), path)
                await self._lvm.run("lvextend", "-q", "-L", f"{capacity_bytes}b", path)
            return _as_volume(pool, await self._zeroed(pool, name))

    async def _zeroed(self, pool: PoolDocument, name: str) -> LogicalVolume:
        """What a growth that was cut off has left to be zeroed is. `_growing` is held: nobody writes there yet."""
        row = await self._row(pool, name)
        begin = zero_from(row.tags)
        if begin is None:
            return row
        await fill_with_zeros(self._files, row.lv_path, begin)
        tags = [word for tag in row.tags if zero_from(frozenset({tag})) is not None for word in ("--deltag", tag)]
        await self._lvm.run("lvchange", "-q", *tags, f"{pool.target}/{name}")
        return await self._row(pool, name)

    async def delete_volume(self, pool: PoolDocument, name: str) -> None:
        await self._clones.refuse_clones(pool, name)
        if any(row.lv_name == name for row in self._ours(pool, await self._rows(pool))):
            await self._lvm.run("lvremove", "-q", "-f", f"{pool.target}/{name}")

    async def _make(self, pool: PoolDocument, name: str, capacity_bytes: int, options: VolumeOptions) -> str:
        """Device of a new logical volume that is no volume yet."""
        thin = pool.options.get("thin_pool")
        if options.block_size_bytes or options.compression or options.is_sparse not in (None, thin is not None):
            kind = "sparse" if thin else "not sparse"
            raise invalid_field("options", f"volumes of pool {pool.id} are {kind}, and have no other options")
        if any(row.lv_name == name for row in await self._rows(pool)):
            raise volume_taken(pool.id, name)
        size = ["-L", f"{capacity_bytes}b"] if thin is None else ["-V", f"{capacity_bytes}b", "--thinpool", thin]
        begun = ["-q", "-y", "-Wy", "-ay", "--addtag", self._part, "-n", name]
        await self._lvm.run("lvcreate", *begun, *size, pool.target)
        return f"/dev/{pool.target}/{name}"

    async def _whole(self, pool: PoolDocument, name: str) -> Volume:
        """The logical volume is a volume from now on: the point of commitment."""
        tags = ["--addtag", self._tag, "--deltag", self._part]
        await self._lvm.run("lvchange", "-q", *tags, f"{pool.target}/{name}")
        return await self.find_volume(pool, name)

    async def _row(self, pool: PoolDocument, name: str) -> LogicalVolume:
        for row in self._ours(pool, await self._rows(pool)):
            if row.lv_name == name and self._tag in row.tags:
                return row
        raise no_volume(pool.id, name)

    async def _rows(self, pool: PoolDocument) -> list[LogicalVolume]:
        self._check_open(pool)
        return await self._lvm.volumes(pool.target)

    def _ours(self, pool: PoolDocument, rows: list[LogicalVolume]) -> list[LogicalVolume]:
        """Whole or not; of a group with and without a thin pool each has its own."""
        thin = pool.options.get("thin_pool", "")
        return [row for row in rows if row.tags & {self._tag, self._part} and row.pool_lv == thin]

    async def _thin_pool(self, pool: PoolDocument) -> LogicalVolume | None:
        if (thin := pool.options.get("thin_pool")) is None:
            return None
        for row in await self._lvm.volumes(pool.target):
            if row.lv_name == thin:
                return row
        raise Unavailable(f"volume group {pool.target} has no thin pool {thin} any more", pool=pool.id)

    def _check_open(self, pool: PoolDocument) -> None:
        if pool.id not in self._open:
            raise Unavailable(f"pool {pool.id} is not active", pool=pool.id)


def _as_volume(pool: PoolDocument, row: LogicalVolume) -> Volume:
    return Volume(
        pool=pool.id,
        name=row.lv_name,
        format="raw",
        capacity_bytes=row.lv_size,
        allocation_bytes=row.used_bytes,
        path=row.lv_path or f"/dev/{pool.target}/{row.lv_name}",
        kind=VolumeKind.BLOCK,
        base=row.origin or None,
    )


def _group_problems(group: VolumeGroup) -> list[str]:
    if not group.vg_missing_pv_count:
        return []
    return [f"volume group {group.vg_name} misses {group.vg_missing_pv_count} of its disks"]


def _thin_problems(thin: LogicalVolume | None) -> list[str]:
    if thin is None:
        return []
    problems = [f"thin pool {thin.lv_name}: LVM says {thin.lv_health_status}"] if thin.lv_health_status else []
    if not thin.zeroes:
        words = f"thin pool {thin.lv_name} does not zero what it hands out, so guests may read what others have deleted"
        problems.append(f"{words}; turn it on (lvchange --zero y)")
    for what, percent in (("data", thin.data_percent), ("metadata", thin.metadata_percent)):
        if percent and float(percent) >= NEARLY_FULL_PERCENT:
            problems.append(f"{what} of thin pool {thin.lv_name} is {float(percent):.0f} % full; extend it (lvextend)")
    return problems
