"""Bases and linked clones on ZFS, under the names Proxmox VE gives them: `<base>@__base__`."""

from agent.storage import zfs_library, zfs_programs
from agent.storage.zfs_link import ZfsLink
from agent.storage.zfs_pool import ZfsPools
from agent.storage.zfs_volumes import ZfsVolumes
from horcrux.errors import AlreadyExists, NotFound
from horcrux.storage.pool import PoolDocument
from horcrux.storage.refusals import no_volume, not_a_base, volume_taken
from horcrux.storage.volume import Volume
from horcrux.storage.zfs import (
    BASE_SNAPSHOT,
    READY,
    STATE_MARK,
    ZfsOptions,
    compression_index,
    volume_dataset,
    volume_name,
)


class ZfsClones:
    """`VolumeClones` of the pools of one driver."""

    def __init__(self, link: ZfsLink, pools: ZfsPools, volumes: ZfsVolumes) -> None:
        self._link = link
        self._pools = pools
        self._volumes = volumes

    async def make_base(self, pool: PoolDocument, name: str, base: str) -> Volume:
        dataset = volume_dataset(self._pools.target(pool), base)
        row, there = await self._volumes.row_or_none(pool, name), await self._volumes.row_or_none(pool, base)
        if row is not None and there is not None and name != base:
            raise volume_taken(pool.id, base)
        if there is None:
            if row is None:
                raise no_volume(pool.id, name)
            await self._link.run(dataset, zfs_library.rename, row.dataset, dataset)
        await self._freeze(dataset)
        return await self._volumes.find(pool, base)

    async def clone_volume(self, pool: PoolDocument, base: str, name: str) -> Volume:
        origin = await self._volumes.row(pool, base)
        dataset = volume_dataset(self._pools.target(pool), name)
        await self._volumes.clear_leftover(pool, dataset)
        properties: dict[str, int | str] = {**self._pools.marks(pool), STATE_MARK: READY}
        if (compression := ZfsOptions.of(pool.options).compression) is not None:
            properties["compression"] = compression_index(compression)
        try:
            async with self._volumes.births.noted(pool.target, dataset):
                await self._link.run(
                    dataset, zfs_library.clone, dataset, f"{origin.dataset}@{BASE_SNAPSHOT}", properties
                )
        except AlreadyExists as err:
            raise volume_taken(pool.id, name) from err
        except NotFound as err:
            raise not_a_base(pool.id, base) from err
        return await self._volumes.find(pool, name)

    async def clones_of_volume(self, pool: PoolDocument, name: str) -> list[str]:
        row = await self._volumes.row(pool, name)
        answer = await self._link.program(row.dataset, zfs_programs.CLONES, {"dataset": row.dataset})
        if answer == "missing":
            raise no_volume(pool.id, name)
        return sorted(volume_name(pool.target, clone) for clone in zfs_programs.lines_of(answer))

    async def _freeze(self, dataset: str) -> None:
        """Never written again, so nothing needs to be reserved for that: else the snapshot would take the whole size anew."""
        await self._link.command("zfs", "set", "readonly=on", "refreservation=none", dataset)
        try:
            await self._link.run(dataset, zfs_library.snapshot, [f"{dataset}@{BASE_SNAPSHOT}"], {})
        except AlreadyExists:
            return  # an earlier call came this far
