"""Linked clones by thin snapshots: the ability of pools that are an LVM thin pool.

A clone is independent to LVM, which would let its base go; we do not, so that a volume's `base` is there while it is told.
"""

from collections.abc import Awaitable, Callable

from agent.storage.lvm import Lvm
from agent.storage.lvm_tags import BASE
from horcrux.storage.pool import PoolDocument
from horcrux.storage.refusals import check_no_clones, no_volume, not_a_base, volume_taken
from horcrux.storage.volume import Volume


class LvmClones:
    """`find` and `all_volumes` are the driver's; `tag` marks its volumes."""

    def __init__(
        self,
        find: Callable[[PoolDocument, str], Awaitable[Volume]],
        all_volumes: Callable[[PoolDocument], Awaitable[list[Volume]]],
        lvm: Lvm,
        tag: str,
    ) -> None:
        self._find = find
        self._all = all_volumes
        self._lvm = lvm
        self._tag = tag

    async def make_base(self, pool: PoolDocument, name: str, base: str) -> Volume:
        there = {volume.name for volume in await self._all(pool)}
        if name in there and base in there and base != name:
            raise volume_taken(pool.id, base)
        if name not in there and base not in there:
            raise no_volume(pool.id, name)
        if base not in there:
            await self.refuse_clones(pool, name)
            await self._lvm.run("lvrename", "-q", pool.target, name, base)
        if not await self._is_base(pool, base):
            await self._lvm.run("lvchange", "-q", "-pr", "--addtag", BASE, f"{pool.target}/{base}")
        return await self._find(pool, base)

    async def clone_volume(self, pool: PoolDocument, base: str, name: str) -> Volume:
        below = await self._find(pool, base)
        if not await self._is_base(pool, base):
            raise not_a_base(pool.id, base)
        if any(row.lv_name == name for row in await self._lvm.volumes(pool.target)):
            raise volume_taken(pool.id, name)
        made = ["-q", "-y", "-s", "-prw", "-kn", "-ay", "--addtag", self._tag, "-n", name]
        await self._lvm.run("lvcreate", *made, f"{pool.target}/{below.name}")
        return await self._find(pool, name)

    async def clones_of_volume(self, pool: PoolDocument, name: str) -> list[str]:
        await self._find(pool, name)
        return [volume.name for volume in await self._all(pool) if volume.base == name]

    async def refuse_clones(self, pool: PoolDocument, name: str) -> None:
        """InUse, naming them."""
        check_no_clones(pool.id, name, [volume.name for volume in await self._all(pool) if volume.base == name])

    async def _is_base(self, pool: PoolDocument, name: str) -> bool:
        return any(row.lv_name == name and BASE in row.tags for row in await self._lvm.volumes(pool.target))
