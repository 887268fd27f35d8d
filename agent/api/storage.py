"""The storage calls."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

import aiohttp
from aiohttp import web

from agent.asked import Asked
from agent.http.route import AnyRoute, Call, Nothing, Reply, Route
from agent.storage.image import Expected
from agent.storage.service import StorageService
from horcrux.auth.permission import Scope
from horcrux.errors import Invalid
from horcrux.paging import Page, page_of
from horcrux.storage.bodies import (
    FetchImage,
    FoundPoolView,
    ImageView,
    NewPool,
    NewVolume,
    PoolView,
    ResizeVolume,
    UploadQuery,
    VolumeSnapshotView,
    VolumeView,
)
from horcrux.storage.volume import check_sha256
from horcrux.tasks import Task

B = TypeVar("B")
Q = TypeVar("Q")

READ_BYTES = 256 * 1024
SILENCE_S = 120
"""How long a client may send nothing, since it holds the image's name meanwhile."""


class StorageApi:
    def __init__(self, service: StorageService) -> None:
        self._service = service

    async def list_pools(self, call: Call[Nothing, Page]) -> Reply:
        return Reply(body=page_of(await self._service.pools.views(), call.query, lambda pool: pool.id))

    async def list_found(self, _call: Call[Nothing, Nothing]) -> Reply:
        return Reply(body=await self._service.pools.found())

    async def get_pool(self, call: Call[Nothing, Nothing]) -> Reply:
        view = await self._service.pools.view(call.path["pool_id"])
        return Reply(body=view, revision=view.revision)

    async def create_pool(self, call: Call[NewPool, Nothing]) -> Task:
        return await self._service.pools.create(call.body, _asked(call))

    async def delete_pool(self, call: Call[Nothing, Nothing]) -> Task:
        return await self._service.pools.delete(call.path["pool_id"], call.if_match, _asked(call))

    async def list_volumes(self, call: Call[Nothing, Page]) -> Reply:
        views = await self._service.volumes.views(call.path["pool_id"])
        return Reply(body=page_of(views, call.query, lambda volume: volume.name))

    async def list_volume_snapshots(self, call: Call[Nothing, Nothing]) -> Reply:
        return Reply(body=await self._service.volumes.snapshots(call.path["pool_id"], call.path["name"]))

    async def create_volume(self, call: Call[NewVolume, Nothing]) -> Task:
        return await self._service.volumes.create(call.path["pool_id"], call.body, _asked(call))

    async def resize_volume(self, call: Call[ResizeVolume, Nothing]) -> Task:
        return await self._service.volumes.resize(call.path["pool_id"], call.path["name"], call.body, _asked(call))

    async def delete_volume(self, call: Call[Nothing, Nothing]) -> Task:
        return await self._service.volumes.delete(call.path["pool_id"], call.path["name"], _asked(call))

    async def list_images(self, call: Call[Nothing, Page]) -> Reply:
        views = await self._service.images.views(call.path["pool_id"])
        return Reply(body=page_of(views, call.query, lambda image: image.name))

    async def upload_image(self, call: Call[Nothing, UploadQuery]) -> Task:
        """Waits for the task also when the client asked for 202: the body has to be read while the request lives."""
        sha256 = None if call.query.sha256 is None else check_sha256(call.query.sha256, "sha256")
        expected = Expected(length=call.raw.content_length, sha256=sha256)
        task = await self._service.images.upload(
            call.path["pool_id"], call.path["name"], _body(call.raw), expected, _asked(call)
        )
        return await self._service.tasks.wait(task.id)

    async def fetch_image(self, call: Call[FetchImage, Nothing]) -> Task:
        return await self._service.images.fetch(call.path["pool_id"], call.body, _asked(call))

    async def delete_image(self, call: Call[Nothing, Nothing]) -> Task:
        return await self._service.images.delete(call.path["pool_id"], call.path["name"], _asked(call))


def _asked(call: Call[B, Q]) -> Asked:
    return Asked(principal=call.principal, request_id=call.request_id)


async def _body(request: web.Request) -> AsyncIterator[bytes]:
    """The request's body as it comes; Invalid when the client goes before its end, or falls silent."""
    try:
        while True:
            async with asyncio.timeout(SILENCE_S):
                chunk = await request.content.read(READ_BYTES)
            if not chunk:
                return
            yield chunk
    except TimeoutError:
        raise Invalid(f"the upload was given up: nothing came for {SILENCE_S} s") from None
    except (
        aiohttp.ClientError,
        aiohttp.http_exceptions.HttpProcessingError,
        ConnectionError,
        web.RequestPayloadError,
    ) as err:
        raise Invalid("the upload was broken off by the client") from err


def routes(service: StorageService) -> Sequence[AnyRoute]:
    """Every storage call of the contract and of our additions."""
    api = StorageApi(service)
    return (*_pool_routes(api), *_volume_routes(api), *_image_routes(api))


def _pool_routes(api: StorageApi) -> Sequence[AnyRoute]:
    return (
        Route(
            "GET",
            "/api/storage",
            api.list_pools,
            scope=Scope.STORAGE_READ,
            summary="List storage pools",
            query=Page,
            response=list[PoolView],
        ),
        Route(
            "POST",
            "/api/storage",
            api.create_pool,
            scope=Scope.POOL_WRITE,
            summary="Create a storage pool",
            body=NewPool,
            response=PoolView,
            status=201,
            audit="pool.create",
            task=True,
        ),
        Route(
            "GET",
            "/api/storage/found",
            api.list_found,
            scope=Scope.STORAGE_READ,
            summary="List what of this host pools could be made on",
            description="Imported zpools and volume groups, with their health and the pool that stands on each already.",
            response=list[FoundPoolView],
        ),
        Route(
            "GET",
            "/api/storage/{pool_id}",
            api.get_pool,
            scope=Scope.STORAGE_READ,
            summary="Show a storage pool",
            response=PoolView,
        ),
        Route(
            "DELETE",
            "/api/storage/{pool_id}",
            api.delete_pool,
            scope=Scope.POOL_WRITE,
            summary="Delete an empty storage pool",
            description="Refused while volumes or images are in it. Its folder stays.",
            status=204,
            audit="pool.delete",
            task=True,
        ),
    )


def _volume_routes(api: StorageApi) -> Sequence[AnyRoute]:
    return (
        Route(
            "GET",
            "/api/storage/{pool_id}/volumes",
            api.list_volumes,
            scope=Scope.STORAGE_READ,
            summary="List the volumes of a pool",
            query=Page,
            response=list[VolumeView],
        ),
        Route(
            "POST",
            "/api/storage/{pool_id}/volumes",
            api.create_volume,
            scope=Scope.STORAGE_WRITE,
            summary="Create a volume",
            description="Empty, or begun from an image of the pool (it is converted to `format`).",
            body=NewVolume,
            response=VolumeView,
            status=201,
            audit="volume.create",
            task=True,
        ),
        Route(
            "GET",
            "/api/storage/{pool_id}/volumes/{name}/snapshots",
            api.list_volume_snapshots,
            scope=Scope.STORAGE_READ,
            summary="List the snapshots of a volume",
            description="Oldest first, whoever made them. Snapshots are made with the VM that has the volume.",
            response=list[VolumeSnapshotView],
        ),
        Route(
            "POST",
            "/api/storage/{pool_id}/volumes/{name}/resize",
            api.resize_volume,
            scope=Scope.STORAGE_WRITE,
            summary="Grow a volume",
            description="Volumes never shrink. Refused while the VM that has it runs.",
            body=ResizeVolume,
            response=VolumeView,
            audit="volume.resize",
            task=True,
        ),
        Route(
            "DELETE",
            "/api/storage/{pool_id}/volumes/{name}",
            api.delete_volume,
            scope=Scope.STORAGE_WRITE,
            summary="Delete a volume",
            description="Refused while a VM has it as a disk.",
            status=204,
            audit="volume.delete",
            task=True,
        ),
    )


def _image_routes(api: StorageApi) -> Sequence[AnyRoute]:
    return (
        Route(
            "GET",
            "/api/storage/{pool_id}/images",
            api.list_images,
            scope=Scope.STORAGE_READ,
            summary="List the images of a pool",
            query=Page,
            response=list[ImageView],
        ),
        Route(
            "PUT",
            "/api/storage/{pool_id}/images/{name}",
            api.upload_image,
            scope=Scope.STORAGE_WRITE,
            summary="Upload an image",
            description="The body is the image: raw, qcow2, VMDK or ISO, without backing or data file. "
            "What it is, is found out from its content.",
            query=UploadQuery,
            response=ImageView,
            status=201,
            audit="image.upload",
            task=True,
            stream_body=True,
            content_type="application/octet-stream",
        ),
        Route(
            "POST",
            "/api/storage/{pool_id}/images",
            api.fetch_image,
            scope=Scope.STORAGE_WRITE,
            summary="Fetch an image from a URL",
            description="https, http (then `sha256` is needed), or file below a folder that the settings allow.",
            body=FetchImage,
            response=ImageView,
            status=201,
            audit="image.fetch",
            task=True,
        ),
        Route(
            "DELETE",
            "/api/storage/{pool_id}/images/{name}",
            api.delete_image,
            scope=Scope.STORAGE_WRITE,
            summary="Delete an image",
            description="Refused while a VM has it in its drive, or a disk is being begun from it.",
            status=204,
            audit="image.delete",
            task=True,
        ),
    )
