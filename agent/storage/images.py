"""Images: uploaded, fetched and deleted as tasks; never deleted while a VM has one in its drive or a disk is begun from it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping

from agent.asked import Asked
from agent.events import Publisher
from agent.storage.fetch import Fetcher
from agent.storage.image import Expected
from agent.storage.pools import OpenPool, Pools
from agent.storage.ports import VolumeUses
from agent.tasks import TaskRun, TaskSubmitter
from horcrux.auth.permission import Scope
from horcrux.errors import AlreadyExists, InUse, NotFound, Unavailable
from horcrux.storage.bodies import FetchImage, ImageView
from horcrux.storage.source_url import check_image_url, shown_url
from horcrux.storage.volume import Image, check_sha256, check_volume_name
from horcrux.tasks import Task, as_result
from horcrux.units import MIB

log = logging.getLogger(__name__)

ANSWER_S = 3.0
"""How long all images together wait for a pool; one whose server or zpool hangs does not answer at all."""


class Images:
    def __init__(
        self, pools: Pools, tasks: TaskSubmitter, events: Publisher, uses: VolumeUses, fetcher: Fetcher
    ) -> None:
        self._pools = pools
        self._tasks = tasks
        self._events = events
        self._uses = uses
        self._fetcher = fetcher
        tasks.recovery("image.discard", self._uncreate)

    async def views(self, pool_id: str) -> list[ImageView]:
        """By name, with a VM that has each in its drive."""
        pool = self._pools.find(pool_id)
        uses = self._uses.image_uses(pool_id)
        return [ImageView.of(image, uses.get(image.name)) for image in await pool.images.all()]

    async def upload(
        self, pool_id: str, name: str, chunks: AsyncIterator[bytes], expected: Expected, asked: Asked
    ) -> Task:
        """The task that takes `chunks`; it must be waited for before the source of them goes."""
        await self._check_free(pool_id, name)

        async def body(run: TaskRun) -> Mapping[str, object]:
            size = f" ({expected.length // MIB} MiB)" if expected.length else ""
            return await self._receive(run, pool_id, name, chunks, expected, f"receiving image {name}{size}")

        return await self._tasks.submit(asked.order("image.upload", _target(pool_id, name), _lock(pool_id, name)), body)

    async def fetch(self, pool_id: str, order: FetchImage, asked: Asked) -> Task:
        sha256 = None if order.sha256 is None else check_sha256(order.sha256, "sha256")
        url = check_image_url(order.url, sha256, "url")
        await self._check_free(pool_id, order.name)

        async def body(run: TaskRun) -> Mapping[str, object]:
            async with self._fetcher.open(url, sha256) as stream:
                expected = Expected(length=stream.length, sha256=sha256)
                stage = f"fetching {shown_url(url)}"
                return await self._receive(run, pool_id, order.name, stream.chunks, expected, stage)

        order_ = asked.order("image.fetch", _target(pool_id, order.name), _lock(pool_id, order.name))
        return await self._tasks.submit(order_, body)

    async def delete(self, pool_id: str, name: str, asked: Asked) -> Task:
        pool = self._pools.find(pool_id)
        await pool.images.find(check_volume_name(name, "name"))
        self._check_unused(pool, name)

        async def body(run: TaskRun) -> None:
            self._check_unused(pool, name)
            await run.stage(f"deleting image {name}")
            await pool.images.discard(name)
            self._events.publish("image", f"{pool_id}/{name}", None, Scope.STORAGE_READ)

        return await self._tasks.submit(asked.order("image.delete", _target(pool_id, name), _lock(pool_id, name)), body)

    async def find(self, pool_id: str, name: str) -> Image:
        """NotFound."""
        return await self._pools.find(pool_id).images.find(check_volume_name(name, "name"))

    async def path(self, pool_id: str, name: str) -> str:
        """NotFound."""
        await self.find(pool_id, name)
        return self._pools.find(pool_id).images.path(name)

    async def everything(self) -> Mapping[tuple[str, str], Image]:
        """Every image of this node's pools, by pool and name; a pool that cannot be read has none."""
        stores = {pool.document.id: pool.image_store for pool in self._pools.ours() if pool.image_store is not None}
        calls = {asyncio.ensure_future(store.all()): id_ for id_, store in stores.items()}
        if calls:
            await asyncio.wait(calls, timeout=ANSWER_S)
        found: dict[tuple[str, str], Image] = {}
        for call, id_ in calls.items():
            if not call.done():
                log.warning("the images of pool %s are left out: it has not answered for %g s", id_, ANSWER_S)
                call.add_done_callback(_look_at)
                continue
            try:
                found.update({(id_, image.name): image for image in call.result()})
            except Unavailable as err:
                log.warning("the images of pool %s are left out: %s", id_, err)
        return found

    async def _receive(
        self,
        run: TaskRun,
        pool_id: str,
        name: str,
        chunks: AsyncIterator[bytes],
        expected: Expected,
        stage: str,
    ) -> Mapping[str, object]:
        async with self._pools.using(pool_id) as pool:
            await self._check_free(pool_id, name)
            await run.undo("image.discard", pool=pool_id, name=name)
            await run.stage(stage)
            image = await pool.images.receive(name, chunks, expected, run.progress)
        await run.commit()
        view = ImageView.of(image, None)
        self._events.publish("image", f"{pool_id}/{name}", view, Scope.STORAGE_READ)
        return as_result(view)

    async def _check_free(self, pool_id: str, name: str) -> None:
        pool = self._pools.find(pool_id)
        if await pool.images.exists(check_volume_name(name, "name")):
            words = f"pool {pool_id} has an image {name} already; delete it first"
            raise AlreadyExists(words, kind="image", pool=pool_id, id=name)

    def _check_unused(self, pool: OpenPool, name: str) -> None:
        use = self._uses.image_uses(pool.document.id).get(name)
        if use is not None:
            words = f"image {name} is in the drive of VM {use.vm_id}; take it out first"
            raise InUse(words, used_by={"vm_id": use.vm_id, "disk": use.disk})
        if pool.images.is_read(name):
            raise InUse(f"a disk is being begun from image {name}; wait for that task")

    async def _uncreate(self, args: Mapping[str, str]) -> None:
        try:
            pool = self._pools.find(args["pool"])
        except NotFound:
            log.info("image %s went with its pool %s", args["name"], args["pool"])
            return
        await pool.images.discard(args["name"])


def _look_at(call: "asyncio.Future[list[Image]]") -> None:
    """So that asyncio does not report its error as forgotten."""
    if not call.cancelled():
        call.exception()


def _lock(pool_id: str, name: str) -> str:
    return f"image/{pool_id}/{name}"


def _target(pool_id: str, name: str) -> str:
    return f"storage/{pool_id}/images/{name}"
