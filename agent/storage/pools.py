"""The pools of this node: their documents, their drivers, and whether they can be used.

document in the Store (the one point of commitment) <-> pool opened by its driver, and its image store
    create: undo recorded -> opened -> document        cut off: document (if it is this one) gone, closed
    delete: empty, nobody at work in it -> closed -> document gone; what lies in the folder stays
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from agent.asked import Asked
from agent.events import Publisher
from agent.storage.driver import FindsPools, HasClones, HasSnapshots, StorageDriver
from agent.storage.image import ImageStore
from agent.tasks import TaskRun, TaskSubmitter
from horcrux.auth.permission import Scope
from horcrux.clock import Clock
from horcrux.errors import (
    AlreadyExists,
    Busy,
    HorcruxError,
    HostLacks,
    InUse,
    NotFound,
    Unavailable,
    invalid_field,
)
from horcrux.ids import NodeId, PoolId, check_name
from horcrux.if_match import check_match
from horcrux.storage.bodies import FoundPoolView, NewPool, PoolOffers, PoolView
from horcrux.storage.pool import FoundPool, PoolDocument, PoolSeen, PoolType, overlaps
from horcrux.storage.pool_options import check_pool
from horcrux.store import Collection, Document, Store
from horcrux.tasks import Task, as_result

log = logging.getLogger(__name__)

NAMED = 5
"""How many of the things in the way a refusal names."""


class OpenPool(msgspec.Struct, frozen=True):
    """A pool of this node with what serves it."""

    document: PoolDocument
    driver: StorageDriver
    image_store: ImageStore | None

    @property
    def images(self) -> ImageStore:
        """HostLacks for a pool that holds nothing but volumes."""
        if self.image_store is None:
            words = f"pool {self.document.id} ({self.document.storage_type}) holds volumes only, no images"
            raise HostLacks(words, pool=self.document.id)
        return self.image_store

    @property
    def offers(self) -> PoolOffers:
        """What can be done in it."""
        return PoolOffers(
            formats=self.driver.formats(self.document),
            can_snapshot=isinstance(self.driver, HasSnapshots) and self.driver.snapshots(self.document) is not None,
            can_clone=isinstance(self.driver, HasClones) and self.driver.clones(self.document) is not None,
            holds_images=self.image_store is not None,
        )


class Pools:
    def __init__(
        self,
        store: Store,
        drivers: Mapping[PoolType, StorageDriver],
        tasks: TaskSubmitter,
        events: Publisher,
        *,
        node: NodeId,
        node_name: str,
        default_target: Path,
        clock: Clock,
        images_in: Callable[[PoolDocument, str], ImageStore],
    ) -> None:
        self._documents = Collection(store, "pool", PoolDocument)
        self._drivers = drivers
        self._tasks = tasks
        self._events = events
        self._node = node
        self._node_name = node_name
        self._default_target = default_target
        self._clock = clock
        self._images_in = images_in
        self._ours: dict[PoolId, OpenPool] = {}
        self._at_work: Counter[PoolId] = Counter()
        self._closing: set[PoolId] = set()
        tasks.recovery("pool.remove", self._uncreate)

    async def start(self) -> None:
        """Every pool of this node is open, or said to be broken; a node without any gets the pool `local`."""
        documents = [document.value for document in await self._documents.list()]
        ours = [document for document in documents if document.node == self._node]
        if not ours:
            ours = [await self._make_default({document.id for document in documents})]
        await asyncio.gather(*(self._try_open(document) for document in ours))

    def ids(self) -> frozenset[str]:
        """Of the pools of this node. One that is not active is opened when it is used, or the use says why not."""
        return frozenset(self._ours)

    def ours(self) -> Sequence[OpenPool]:
        return list(self._ours.values())

    def find(self, pool_id: str) -> OpenPool:
        """A pool of this node, usable or not; NotFound."""
        pool = self._ours.get(PoolId(pool_id))
        if pool is None:
            raise NotFound(f"this node has no pool {pool_id}", kind="pool", id=pool_id)
        return pool

    @asynccontextmanager
    async def using(self, pool_id: str) -> AsyncIterator[OpenPool]:
        """The pool, active, and not deleted while the block runs. A pool that was stopped from outside is opened again.
        NotFound; Unavailable when it cannot be opened."""
        pool = self.find(pool_id)
        id_ = pool.document.id
        if id_ in self._closing:
            raise Busy(f"pool {pool_id} is being deleted", pool=pool_id)
        self._at_work[id_] += 1
        try:
            if not (await pool.driver.look(pool.document)).is_active:
                await self._open(pool)
            yield pool
        finally:
            self._at_work[id_] -= 1

    async def views(self) -> list[PoolView]:
        """Every pool of the cluster, by id; sizes of this node's only."""
        documents = await self._documents.list()
        return list(await asyncio.gather(*(self._view(document) for document in documents)))

    async def own_views(self) -> list[PoolView]:
        """Of this node, by id."""
        documents = [document for document in await self._documents.list() if document.value.node == self._node]
        return list(await asyncio.gather(*(self._view(document) for document in documents)))

    async def view(self, pool_id: str) -> PoolView:
        return await self._view(await self._documents.get(pool_id))

    async def found(self) -> list[FoundPoolView]:
        """What of this host pools could be made on, with the pool that stands on it (or on a part of it) already."""
        finders = {id(driver): driver for driver in self._drivers.values() if isinstance(driver, FindsPools)}
        found = [pool for driver in finders.values() for pool in await driver.found_pools()]
        return [FoundPoolView.of(pool, self._pool_on(pool)) for pool in sorted(found, key=lambda f: f.target)]

    def _pool_on(self, found: FoundPool) -> str | None:
        for pool in self._ours.values():
            document = pool.document
            if document.storage_type is found.storage_type and overlaps(document.target, found.target):
                return document.id
        return None

    async def tell(self, pool_id: PoolId) -> None:
        """Whoever listens knows how the pool is now."""
        self.publish(await self.view(pool_id))

    def publish(self, view: PoolView) -> None:
        """Whoever listens knows this."""
        self._events.publish("pool", view.id, view, Scope.STORAGE_READ)

    async def create(self, order: NewPool, asked: Asked) -> Task:
        document = await self._checked(order)
        await self._check_free(document)

        async def body(run: TaskRun) -> Mapping[str, object]:
            # again, under the locks: opening it would lead another's name to our folder, or two pools to one
            await self._check_free(document)
            await run.undo("pool.remove", document=msgspec.json.encode(document).decode())
            await run.stage(f"opening {document.target}", 0.2)
            pool = self._serve(document)
            await self._open(pool)
            await run.stage("recording it", 0.8)
            await self._documents.create(document.id, document)
            self._ours[document.id] = pool
            await run.commit()
            await self.tell(document.id)
            return as_result(await self.view(document.id))

        one_at_a_time = f"pools/{self._node}"
        order_ = asked.order("pool.create", f"storage/{document.id}", f"pool/{document.id}", one_at_a_time)
        return await self._tasks.submit(order_, body)

    async def delete(self, pool_id: str, revision: int | None, asked: Asked) -> Task:
        found = await self._documents.get(pool_id)
        pool = self.find(pool_id)
        await check_match(f"pool {pool_id}", found, revision, lambda: self._view(found))

        async def body(run: TaskRun) -> None:
            id_ = pool.document.id
            self._closing.add(id_)
            try:
                await self._check_empty(pool)
                await run.stage("removing it")
                await pool.driver.remove(pool.document)  # cut off here it is a pool still, and opened at the next start
                await self._documents.delete(id_, found.revision)
                self._ours.pop(id_, None)
                self._events.publish("pool", id_, None, Scope.STORAGE_READ)
            finally:
                self._closing.discard(id_)

        return await self._tasks.submit(asked.order("pool.delete", f"storage/{pool_id}", f"pool/{pool_id}"), body)

    async def _checked(self, order: NewPool) -> PoolDocument:
        id_ = check_name(order.id, "id")
        offered = ", ".join(sorted(self._drivers))
        if order.storage_type not in self._drivers:
            raise invalid_field("storage_type", f"this host offers {offered}, not {order.storage_type[:40]}")
        name = order.id if order.name is None else order.name
        if not 1 <= len(name) <= 100 or not name.isprintable():
            raise invalid_field("name", "1 to 100 printable characters")
        storage_type = PoolType(order.storage_type)
        target, options = check_pool(storage_type, order.target, order.options)
        return PoolDocument(
            id=PoolId(id_),
            name=name,
            storage_type=storage_type,
            node=self._node,
            target=target,
            options=options,
            created_at=self._clock.now(),
        )

    async def _check_free(self, document: PoolDocument) -> None:
        if await self._documents.find(document.id) is not None:
            raise AlreadyExists(f"pool {document.id} exists already", kind="pool", id=document.id)
        for other in self._ours.values():
            is_alike = other.document.storage_type is document.storage_type
            if is_alike and overlaps(document.target, other.document.target):
                words = f"{document.target} lies in or around {other.document.target} of pool {other.document.id}"
                raise invalid_field("target", words)

    async def _make_default(self, taken: set[PoolId]) -> PoolDocument:
        id_ = PoolId("local" if "local" not in taken else f"local-{self._node}")
        document = PoolDocument(
            id=id_,
            name="Local",
            storage_type=PoolType.DIR,
            node=self._node,
            target=str(self._default_target),
            created_at=self._clock.now(),
        )
        await self._documents.create(id_, document)
        log.info("made pool %s in folder %s", id_, document.target)
        return document

    def _serve(self, document: PoolDocument) -> OpenPool:
        """Unavailable when this agent has no driver for it (a document from another version)."""
        driver = self._drivers.get(document.storage_type)
        if driver is None:
            raise Unavailable(f"pool {document.id} is of type {document.storage_type}, which this host does not offer")
        folder = driver.image_folder(document)
        return OpenPool(document, driver, None if folder is None else self._images_in(document, folder))

    async def _open(self, pool: OpenPool) -> None:
        await pool.driver.open(pool.document)
        if pool.image_store is not None:
            await pool.image_store.open()

    async def _try_open(self, document: PoolDocument) -> None:
        try:
            pool = self._ours[document.id] = self._serve(document)
            await self._open(pool)
        except HorcruxError as err:
            log.warning("pool %s cannot be used: %s", document.id, err)

    async def _view(self, document: Document[PoolDocument]) -> PoolView:
        pool = self._ours.get(document.value.id)
        if pool is not None:
            seen = await pool.driver.look(document.value)
        elif document.value.node == self._node:
            seen = PoolSeen(id=document.value.id, is_active=False, reason="this agent does not serve it")
        else:
            seen = PoolSeen(id=document.value.id, is_active=False, reason=f"it is a pool of node {document.value.node}")
        node_name = self._node_name if document.value.node == self._node else document.value.node
        offers = PoolOffers() if pool is None else pool.offers
        return PoolView.of(document.value, document.revision, seen, node_name, offers)

    async def _check_empty(self, pool: OpenPool) -> None:
        id_ = pool.document.id
        if self._at_work[id_]:
            raise Busy(f"a task is at work in pool {id_}; wait for it, or cancel it", pool=id_)
        if not (await pool.driver.look(pool.document)).is_active:
            await self._open(pool)
        volumes = [v.name for v in await pool.driver.list_volumes(pool.document)]
        images = [] if pool.image_store is None else [i.name for i in await pool.image_store.all()]
        if volumes or images:
            held = [f"volume {n}" for n in volumes] + [f"image {n}" for n in images]
            more = f" and {len(held) - NAMED} more" if len(held) > NAMED else ""
            words = f"pool {id_} is not empty: {', '.join(held[:NAMED])}{more}; delete them first"
            raise InUse(words, pool=id_, volumes=volumes[:NAMED], images=images[:NAMED])

    async def _uncreate(self, args: Mapping[str, str]) -> None:
        """Undo of a creation: the document, if it is the one that was to be, is gone, and the pool closed."""
        document = msgspec.json.decode(args["document"], type=PoolDocument)
        found = await self._documents.find(document.id)
        if found is not None and found.value == document:
            await self._documents.delete(document.id)
        elif found is not None and found.value.node == self._node:
            return
        self._ours.pop(document.id, None)
        if (driver := self._drivers.get(document.storage_type)) is not None:
            await driver.remove(document)
