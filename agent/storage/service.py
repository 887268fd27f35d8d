"""Storage of this node in one place: pools, volumes and images for the API, disks and seeds for the VM services.

Start it before the task engine's `start()`: what that undoes lies in open pools. Recoveries are registered when it is made.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.blocking import BlockingPool
from agent.events import Publisher
from agent.storage.clones import VolumeCopies
from agent.storage.disk_snapshots import DiskSnapshots
from agent.storage.driver import Progress, StorageDriver
from agent.storage.fetch import Fetcher
from agent.storage.health import PoolWatch
from agent.storage.image import ImageStore
from agent.storage.images import Images
from agent.storage.pools import Pools
from agent.storage.ports import LetIn, VolumeUses
from agent.storage.qemu_img import QemuImg
from agent.storage.quota import Quotas, Wanted
from agent.storage.quota_service import QuotaService
from agent.storage.seed import SeedStore
from agent.storage.volumes import Volumes
from agent.tasks import TaskSubmitter
from horcrux.clock import Clock
from horcrux.compute.vm import CloudInit
from horcrux.errors import NotFound, Unavailable
from horcrux.ids import NodeId, PoolId, VmId
from horcrux.storage.pool import PoolDocument, PoolType
from horcrux.storage.volume import Image, Volume, VolumeUse
from horcrux.store import Store


class StorageService:
    """`pools`, `volumes`, `images` and `quota_service` serve the API; the methods are what VMs need
    (`agent.compute.ports.Disks`)."""

    def __init__(
        self,
        store: Store,
        drivers: Mapping[PoolType, StorageDriver],
        tasks: TaskSubmitter,
        events: Publisher,
        uses: VolumeUses,
        *,
        node: NodeId,
        node_name: str,
        state_dir: Path,
        image_folders: Sequence[Path],
        clock: Clock,
        let_qemu_in: LetIn,
    ) -> None:
        self._files = BlockingPool("storage-files", 4)
        self._image_files: list[BlockingPool] = []

        def images_in(pool: PoolDocument, folder: str) -> ImageStore:
            """On threads of its own: a pool that hangs keeps no other waiting."""
            files = BlockingPool(f"images-{pool.id}", 2)
            self._image_files.append(files)
            return ImageStore(pool.id, folder, files=files, qemu=QemuImg(files), clock=clock, let_qemu_in=let_qemu_in)

        self.pools = Pools(
            store,
            drivers,
            tasks,
            events,
            node=node,
            node_name=node_name,
            default_target=state_dir / "pools" / "local",
            clock=clock,
            images_in=images_in,
        )
        self._uses = uses
        self.quotas = Quotas(store)
        self.quota_service = QuotaService(store, self.quotas, self.pools, events)
        self.volumes = Volumes(self.pools, tasks, events, uses, self.quotas)
        self.disk_snapshots = DiskSnapshots(self.pools, self.quotas)
        self.copies = VolumeCopies(self.pools, self.volumes, self.quotas)
        self.images = Images(self.pools, tasks, events, uses, Fetcher(self._files, image_folders))
        self.watch = PoolWatch(self.pools.own_views, self.pools.publish, clock)
        self.tasks = tasks
        self._seeds = SeedStore(state_dir / "seeds", self._files, let_qemu_in)

    async def start(self) -> None:
        """Pools are open; one that cannot be is reported in the log and in its view, and harms no other."""
        await self.pools.start()

    async def close(self) -> None:
        """Its threads are gone. The drivers are closed by who made them."""
        for files in self._image_files:
            files.leave()  # the tasks have ended: what is still under way hangs
        await asyncio.to_thread(self._files.close)

    def volume_pools(self) -> frozenset[str]:
        """Ids of this node's pools. Using one that cannot be opened says why (Unavailable)."""
        return self.pools.ids()

    async def all_images(self) -> Mapping[tuple[str, str], Image]:
        """By (pool, name)."""
        return await self.images.everything()

    async def has_volume(self, pool_id: PoolId, name: str) -> bool:
        """Whether there is one, or somebody holds the name."""
        return name in self._uses.uses(pool_id) or await self.volumes.exists(pool_id, name)

    async def reserve(self, user: str, wanted: Sequence[Wanted], leaving: Sequence[tuple[PoolId, str]] = ()) -> None:
        """Disks of these sizes (pool, name, bytes) may be made, or grow to them, on behalf of `user`, all of them; those of
        `leaving` go in exchange. QuotaExceeded. Who calls has recorded the undo, which deletes them."""
        await self.quotas.reserve(user, wanted, leaving)

    def format_for(self, pool_id: PoolId, wanted: str | None, now: str) -> str:
        """Of a new volume: `wanted`, else `now` where the pool can, else its default. Invalid; NotFound for the pool."""
        pool = self.pools.find(pool_id)
        formats = pool.driver.formats(pool.document)
        return self.volumes.format_in(pool_id, wanted) or (now if now in formats else formats[0])

    async def available_bytes(self, pool_id: PoolId) -> int | None:
        """What the pool has left for what is written; None where it cannot tell. Unavailable, with the reason, for one that
        cannot be reached."""
        pool = self.pools.find(pool_id)
        seen = await pool.driver.look(pool.document)
        if not seen.is_active:
            raise Unavailable(f"pool {pool_id} cannot be reached: {seen.reason}", pool=pool_id)
        return seen.available_bytes

    async def settle(self, volume: Volume) -> None:
        """What counts towards quotas is the size that the volume has."""
        await self.quotas.settle(volume)

    async def create_disk(
        self,
        pool_id: PoolId,
        name: str,
        size_bytes: int | None,
        image: str | None,
        progress: Progress,
        format_: str | None = None,
    ) -> Volume:
        """A new volume of `size_bytes` (None: the image's), empty or begun from an image of the pool. Format None: the pool's.

        Whoever calls holds the lock `volume/<pool>/<name>`, has found the name free and recorded the undo, in this order.
        """
        return await self.volumes.make(pool_id, name, size_bytes, image, progress, format_)

    async def link_disk(self, pool_id: PoolId, base: str, name: str) -> Volume:
        """A new volume that stands on `base` of the same pool; else as `create_disk`. HostLacks."""
        return await self.copies.link(pool_id, base, name)

    async def grow_disk(self, pool_id: PoolId, name: str, size_bytes: int) -> Volume:
        """It can hold that much. Not for files that a guest has open."""
        return await self.volumes.grow(pool_id, name, size_bytes)

    async def copy_disk(
        self,
        source: tuple[PoolId, str],
        pool_id: PoolId,
        name: str,
        progress: Progress,
        format_: str | None = None,
    ) -> Volume:
        """A new volume with the content of `source` (pool, name), which nobody writes to; else as `create_disk`."""
        return await self.copies.copy(source, pool_id, name, progress, format_)

    def can_link(self, pool_id: PoolId) -> bool:
        """Whether the pool makes linked clones. NotFound."""
        return self.copies.can_link(pool_id)

    def check_can_link(self, pool_id: PoolId) -> None:
        """HostLacks, with the way out, for a pool that makes no linked clones; NotFound."""
        self.copies.check_can_link(pool_id)

    def use_of(self, pool_id: PoolId, name: str) -> VolumeUse | None:
        """Who holds a volume; from memory."""
        return self._uses.uses(pool_id).get(name)

    async def make_base(self, pool_id: PoolId, name: str, base: str) -> Volume:
        """The volume is named `base` from now on, and never written to again. Idempotent. HostLacks."""
        return await self.copies.make_base(pool_id, name, base)

    async def clones_on(self, pool_id: PoolId, name: str) -> list[str]:
        """Names of the volumes that stand on it, sorted; none when it is not there, or in a pool that makes no linked clones."""
        return await self.copies.clones(pool_id, name)

    async def delete_disk(self, pool_id: PoolId, name: str) -> None:
        """Gone, also when it was gone before, or with its pool; who uses it is not asked."""
        try:
            self.pools.find(pool_id)
        except NotFound:
            await self.quotas.release(pool_id, name)
            return
        await self.volumes.remove(pool_id, name)

    async def find_disk(self, pool_id: PoolId, name: str) -> Volume:
        """NotFound."""
        return await self.volumes.find(pool_id, name)

    async def image_path(self, pool_id: PoolId, name: str) -> str:
        """NotFound."""
        return await self.images.path(pool_id, name)

    async def write_seed(self, vm_id: VmId, uuid: str, number: int, name: str, cloud_init: CloudInit) -> str:
        """Path of the NoCloud seed, written anew; `number` counts its changes and is part of the instance id."""
        return str(await self._seeds.write(vm_id, uuid, number, name, cloud_init))

    async def delete_seed(self, vm_id: VmId) -> None:
        """Gone, also when it was gone before."""
        await self._seeds.delete(vm_id)
