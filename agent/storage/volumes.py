"""Volumes: made, grown and deleted as tasks; never deleted while a VM has them.

The undo of a creation is recorded only after the name was found free, under the name's lock, so that it never removes
a volume that was there before.
"""

import logging
from collections.abc import Mapping, Sequence

import msgspec

from agent.asked import Asked
from agent.events import Publisher
from agent.storage.driver import Progress, linked_clones, snapshots_of
from agent.storage.pools import OpenPool, Pools
from agent.storage.ports import ReplicaRules, VolumeUses
from agent.storage.quota import Quotas
from agent.tasks import TaskRun, TaskSubmitter
from horcrux.auth.permission import Scope
from horcrux.errors import HostLacks, InUse, NotFound, invalid_field
from horcrux.ids import PoolId
from horcrux.storage.bodies import NewVolume, ResizeVolume, VolumeSnapshotView, VolumeView
from horcrux.storage.image_check import qemu_format
from horcrux.storage.refusals import check_grows, volume_taken
from horcrux.storage.volume import (
    AS_THE_POOL,
    Image,
    Volume,
    VolumeOptions,
    VolumeUse,
    check_size_gb,
    check_volume_name,
    image_place,
    volume_lock,
)
from horcrux.tasks import Task, as_result
from horcrux.units import bytes_to_gib

log = logging.getLogger(__name__)

_TAKE_AWAY = "delete the VM, or take the disk from it"


class Volumes:
    def __init__(self, pools: Pools, tasks: TaskSubmitter, events: Publisher, uses: VolumeUses, quotas: Quotas) -> None:
        self._pools = pools
        self._quotas = quotas
        self._tasks = tasks
        self._events = events
        self._uses = uses
        self.replicas: ReplicaRules | None = None
        tasks.recovery("volume.delete", self._uncreate)
        tasks.recovery("volume.settle", self._ungrow)

    async def views(self, pool_id: str) -> list[VolumeView]:
        """By name, with who has each."""
        async with self._pools.using(pool_id) as pool:
            volumes = await pool.driver.list_volumes(pool.document)
        uses = self._uses.uses(pool_id)
        clones: dict[str, list[str]] = {}
        for volume in volumes:
            if volume.base is not None:
                clones.setdefault(volume.base, []).append(volume.name)
        return [self._view(volume, uses, clones.get(volume.name, ())) for volume in volumes]

    async def snapshots(self, pool_id: str, name: str) -> list[VolumeSnapshotView]:
        """Of one volume, oldest first; NotFound, HostLacks."""
        async with self._pools.using(pool_id) as pool:
            await pool.driver.find_volume(pool.document, check_volume_name(name, "name"))
            found = await snapshots_of(pool.driver, pool.document).list_snapshots(pool.document, name)
        return [VolumeSnapshotView.of(snapshot) for snapshot in found]

    async def create(self, pool_id: str, order: NewVolume, asked: Asked) -> Task:
        name = check_volume_name(order.name, "name")
        format_ = self.format_in(pool_id, order.format)
        options = order.options or AS_THE_POOL
        if order.size_gb is None and order.image is None:
            raise invalid_field("size_gb", "needed, unless the volume begins from an image")
        size_bytes = None if order.size_gb is None else check_size_gb(order.size_gb, "size_gb")
        if await self.exists(pool_id, name):
            raise volume_taken(pool_id, name)
        taken_bytes = size_bytes or 0
        if order.image is not None:
            image = await self._image(pool_id, order.image, "image")
            check_fits(image, size_bytes, "size_gb")
            taken_bytes = size_bytes or image.virtual_size_bytes
            if options != AS_THE_POOL:
                raise invalid_field(
                    "options", "for empty volumes; one that begins from an image is kept as its pool says"
                )

        async def body(run: TaskRun) -> Mapping[str, object]:
            if await self.exists(pool_id, name):
                raise volume_taken(pool_id, name)
            await run.undo("volume.delete", pool=pool_id, name=name)
            await self._quotas.reserve(asked.principal.user, [(PoolId(pool_id), name, taken_bytes)])
            await run.stage(f"making volume {name}" + (f" from image {order.image}" if order.image else ""))
            volume = await self.make(pool_id, name, size_bytes, order.image, run.progress, format_, options)
            await run.commit()
            return self._result(volume)

        return await self._tasks.submit(
            asked.order("volume.create", _target(pool_id, name), volume_lock(pool_id, name)), body
        )

    async def resize(self, pool_id: str, name: str, order: ResizeVolume, asked: Asked) -> Task:
        size_bytes = check_size_gb(order.size_gb, "size_gb")
        await self.find(pool_id, name)
        self._check_unused(pool_id, name, "a disk is resized with its VM")
        if self.replicas is not None:
            self.replicas.check_writable(pool_id, name)

        async def body(run: TaskRun) -> Mapping[str, object]:
            self._check_unused(pool_id, name, "a disk is resized with its VM")
            check_grows(pool_id, name, (await self.find(pool_id, name)).capacity_bytes, size_bytes)
            await run.undo("volume.settle", pool=pool_id, name=name)
            await self._quotas.grow(pool_id, name, size_bytes)
            await run.stage(f"growing volume {name}")
            volume = await self.grow(pool_id, name, size_bytes)
            await run.commit()
            return self._result(volume)

        return await self._tasks.submit(
            asked.order("volume.resize", _target(pool_id, name), volume_lock(pool_id, name)), body
        )

    async def delete(self, pool_id: str, name: str, asked: Asked) -> Task:
        await self.find(pool_id, name)
        self._check_unused(pool_id, name, _TAKE_AWAY)

        async def body(run: TaskRun) -> None:
            self._check_unused(pool_id, name, _TAKE_AWAY)
            await run.stage(f"deleting volume {name}")
            await self.remove(pool_id, name)

        return await self._tasks.submit(
            asked.order("volume.delete", _target(pool_id, name), volume_lock(pool_id, name)), body
        )

    async def find(self, pool_id: str, name: str) -> Volume:
        """NotFound."""
        async with self._pools.using(pool_id) as pool:
            return await pool.driver.find_volume(pool.document, check_volume_name(name, "name"))

    async def tell(self, pool_id: str, name: str) -> None:
        """Whoever listens knows how the volume is now, or that it is gone."""
        try:
            async with self._pools.using(pool_id) as pool:
                volume = await pool.driver.find_volume(pool.document, check_volume_name(name, "name"))
                clones = await linked_clones(pool.driver, pool.document, name)
        except NotFound:
            self.tell_gone(pool_id, name)
        else:
            self._publish(volume, clones)

    def tell_gone(self, pool_id: str, name: str) -> None:
        """Whoever listens knows that there is no volume of that name."""
        self._events.publish("volume", f"{pool_id}/{name}", None, Scope.STORAGE_READ)

    async def settle(self, volume: Volume, clones: Sequence[str] = ()) -> None:
        """What counts towards quotas is the size that it has, and whoever listens knows how it is. `clones` stand on it: a
        volume that is new, or has grown, has none."""
        await self._quotas.settle(volume)
        self._publish(volume, clones)

    async def exists(self, pool_id: str, name: str) -> bool:
        try:
            await self.find(pool_id, name)
        except NotFound:
            self._pools.find(pool_id)  # it is the volume that is not there, not the pool
            return False
        return True

    async def make(
        self,
        pool_id: str,
        name: str,
        size_bytes: int | None,
        image: str | None,
        progress: Progress,
        format_: str | None = None,
        options: VolumeOptions = AS_THE_POOL,
    ) -> Volume:
        """A new volume, empty or begun from an image. Who calls has recorded how it is undone."""
        async with self._pools.using(pool_id) as pool:
            format_ = format_ or pool.driver.formats(pool.document)[0]
            if image is not None:
                volume = await self._fill(pool, name, size_bytes, image, format_, progress)
            elif size_bytes is not None:
                volume = await pool.driver.create_volume(pool.document, name, size_bytes, format_, options)
            else:
                raise invalid_field("size_gb", "needed, unless the volume begins from an image")
        await self.settle(volume)
        return volume

    async def grow(self, pool_id: str, name: str, size_bytes: int) -> Volume:
        """It can hold that much. Conflict when it is larger; who uses it is not asked, and its quota has been."""
        async with self._pools.using(pool_id) as pool:
            volume = await pool.driver.resize_volume(pool.document, name, size_bytes)
        await self.settle(volume)
        return volume

    async def remove(self, pool_id: str, name: str) -> None:
        """Gone, also when it was gone before; who uses it is not asked."""
        async with self._pools.using(pool_id) as pool:
            await pool.driver.delete_volume(pool.document, check_volume_name(name, "name"))
        await self._quotas.release(pool_id, name)
        if self.replicas is not None:
            await self.replicas.deleted(pool_id, name)
        self.tell_gone(pool_id, name)

    async def _fill(
        self, pool: OpenPool, name: str, size_bytes: int | None, image_name: str, format_: str, progress: Progress
    ) -> Volume:
        image_pool, image_name = image_place(image_name, pool.document.id)
        async with self._pools.using(image_pool) as holder:
            image = await holder.images.find(image_name)
            check_fits(image, size_bytes, "size_gb")
            with holder.images.reading(image_name) as path:
                volume = await pool.driver.fill_volume(
                    pool.document, name, path, qemu_format(image.format), format_, progress
                )
        if size_bytes is not None and size_bytes > volume.capacity_bytes:
            volume = await pool.driver.resize_volume(pool.document, name, size_bytes)
        return volume

    def format_in(self, pool_id: str, wanted: str | None) -> str | None:
        """`wanted`, when volumes of the pool can have it; None: what the pool makes by itself."""
        pool = self._pools.find(pool_id)
        formats = pool.driver.formats(pool.document)
        if wanted is not None and wanted not in formats:
            raise invalid_field("format", f"pool {pool_id} makes volumes in {', '.join(formats)}")
        return wanted

    async def _image(self, pool_id: str, name: str, field: str) -> Image:
        image_pool, name = image_place(name, pool_id)
        try:
            async with self._pools.using(image_pool) as pool:
                return await pool.images.find(check_volume_name(name, field))
        except (NotFound, HostLacks) as err:
            raise invalid_field(field, str(err)) from err

    def _publish(self, volume: Volume, clones: Sequence[str]) -> None:
        view = self._view(volume, self._uses.uses(volume.pool), clones)
        self._events.publish("volume", f"{volume.pool}/{volume.name}", view, Scope.STORAGE_READ)

    def _result(self, volume: Volume) -> Mapping[str, object]:
        return as_result(self._view(volume, self._uses.uses(volume.pool)))

    def _view(self, volume: Volume, uses: Mapping[str, VolumeUse], clones: Sequence[str] = ()) -> VolumeView:
        """The volume as the API shows it; `uses` of its pool."""
        replica_of = self._replica_of(volume.pool, volume.name)
        return VolumeView.of(volume, uses.get(volume.name), tuple(clones), replica_of)

    def _check_unused(self, pool_id: str, name: str, way_out: str) -> None:
        use = self._uses.uses(pool_id).get(name)
        if use is not None:
            way_out = way_out if use.template is None else "a template never changes; delete it as a whole"
            words = f"volume {name} is {use.disk} of {use.holder}; {way_out}"
            raise InUse(words, used_by=msgspec.to_builtins(use))
        if self.replicas is not None:
            self.replicas.check_deletable(pool_id, name)

    def _replica_of(self, pool_id: str, name: str) -> str | None:
        return None if self.replicas is None else self.replicas.replica_of(pool_id, name)

    async def _uncreate(self, args: Mapping[str, str]) -> None:
        try:
            await self.remove(args["pool"], args["name"])
        except NotFound:
            await self._quotas.release(args["pool"], args["name"])
            log.info("volume %s went with its pool %s", args["name"], args["pool"])

    async def _ungrow(self, args: Mapping[str, str]) -> None:
        """Undo of a growth: what counts is the size that the volume has."""
        try:
            await self._quotas.settle(await self.find(args["pool"], args["name"]))
        except NotFound:
            await self._quotas.release(args["pool"], args["name"])


def check_fits(image: Image, size_bytes: int | None, field: str) -> None:
    if size_bytes is not None and size_bytes < image.virtual_size_bytes:
        least = bytes_to_gib(image.virtual_size_bytes)
        raise invalid_field(field, f"image {image.name} needs at least {least} GiB ({image.virtual_size_bytes} bytes)")


def _target(pool_id: str, name: str) -> str:
    return f"storage/{pool_id}/volumes/{name}"
