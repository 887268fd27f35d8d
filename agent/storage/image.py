"""The images of a pool: `<folder>/<name>`, beside each a JSON file in `.about` that says what it is.

receive -> <name>.part, hashed while it is written -> checksum -> checked by content -> .about/<name>.json -> renamed
    whatever fails, or dies, on the way leaves at most a `.part` or an `.about` without its image: `open` removes both

An image is what has both files. libvirt does not list them: to it `images` is a folder.
"""

import asyncio
import hashlib
import logging
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from agent.blocking import BlockingPool
from agent.durable import disk_errors, publish, sync_folder, write_whole
from agent.storage.driver import Progress
from agent.storage.ports import LetIn
from agent.storage.qemu_img import QemuImg
from horcrux.clock import Clock
from horcrux.errors import Invalid, NoSpace, NotFound, invalid_field
from horcrux.ids import PoolId
from horcrux.storage.image_check import HEAD_BYTES, Sniffed, judge, qemu_format, sniff
from horcrux.storage.volume import PART, Image
from horcrux.units import MIB

log = logging.getLogger(__name__)

BLOCK_BYTES = MIB
SPARE_BYTES = 64 * MIB
"""What an image leaves free in the pool."""
_ZEROS = bytes(BLOCK_BYTES)


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What the sender said of the image beforehand."""

    length: int | None = None
    sha256: str | None = None


class ImageStore:
    def __init__(
        self, pool: PoolId, folder: str, *, files: BlockingPool, qemu: QemuImg, clock: Clock, let_qemu_in: LetIn
    ) -> None:
        self._pool = pool
        self._folder = Path(folder)
        self._about = self._folder / ".about"
        self._files = files
        self._qemu = qemu
        self._clock = clock
        self._let_qemu_in = let_qemu_in
        self._receiving: set[Path] = set()
        self._readers: Counter[str] = Counter()

    async def open(self) -> None:
        """The folder is there and QEMU may enter it; what an earlier life left half done is gone. Idempotent."""
        await self._files.run(self._open)

    async def all(self) -> list[Image]:
        """By name."""
        return await self._files.run(self._read_all)

    async def find(self, name: str) -> Image:
        """NotFound."""
        image = await self._files.run(self._read, name)
        if image is None:
            raise NotFound(f"pool {self._pool} has no image {name}", pool=self._pool, image=name)
        return image

    async def exists(self, name: str) -> bool:
        return await self._files.run(self._read, name) is not None

    def path(self, name: str) -> str:
        return str(self._folder / name)

    def is_read(self, name: str) -> bool:
        return self._readers[name] > 0

    @contextmanager
    def reading(self, name: str) -> Iterator[str]:
        """Its path, while it may not be deleted."""
        self._readers[name] += 1
        try:
            yield self.path(name)
        finally:
            self._readers[name] -= 1

    async def receive(self, name: str, chunks: AsyncIterator[bytes], expected: Expected, progress: Progress) -> Image:
        """The image as it is kept. Invalid when it is not what was expected, or may not be kept; then nothing is left.
        The caller has made sure that the name is free, and that nobody else receives it."""
        path = self._folder / (name + PART)
        self._receiving.add(path)
        part: _Part | None = None
        try:
            room = await self._files.run(self._room, expected.length)
            part = await self._files.run(_Part, path, room)
            await self._take(part, chunks, expected, progress)
            digest = await self._files.run(part.finish)
            if expected.sha256 is not None and digest != expected.sha256:
                raise invalid_field("sha256", f"the image came with another content: its checksum is {digest}")
            found = await self._examine(path, part.size)
            image = Image(
                pool=self._pool,
                name=name,
                format=found.format,
                size_bytes=part.size,
                virtual_size_bytes=found.virtual_size_bytes,
                sha256=digest,
                created_at=self._clock.now(),
            )
            await self._files.run(self._keep, path, image)
            progress(1.0)
            return image
        finally:
            if part is not None:
                await self._files.run(part.discard)
            self._receiving.discard(path)

    async def discard(self, name: str) -> None:
        """The image, or what was received of it, is gone; also when it was before."""
        await self._files.run(self._discard, name)

    async def _take(self, part: "_Part", chunks: AsyncIterator[bytes], expected: Expected, progress: Progress) -> None:
        async for block in _blocks(chunks):
            await self._files.run(part.write, block)
            if expected.length:
                progress(0.95 * min(1.0, part.size / expected.length))
        if expected.length is not None and part.size != expected.length:
            raise Invalid(f"the image ended after {part.size} of {expected.length} bytes")

    async def _examine(self, path: Path, size_bytes: int) -> Sniffed:
        head = await self._files.run(_head, path)
        sniffed = await asyncio.to_thread(sniff, head, size_bytes)
        return judge(await self._qemu.info(str(path), qemu_format(sniffed.format)), sniffed)

    def _open(self) -> None:
        with disk_errors(f"the image folder {self._folder} cannot be used"):
            is_ours = self._about.is_dir()  # else nothing in it is of our making, whatever it is called
            self._about.mkdir(mode=0o711, parents=True, exist_ok=True)
            self._let_qemu_in(self._folder / "image")
            if not is_ours:
                return
            for part in (*self._folder.glob("*" + PART), *self._about.glob("*" + PART)):
                if part not in self._receiving:
                    part.unlink(missing_ok=True)
            for about in self._about.glob("*.json"):
                name = about.name.removesuffix(".json")
                if not (self._folder / name).exists() and self._folder / (name + PART) not in self._receiving:
                    about.unlink(missing_ok=True)

    def _room(self, length: int | None) -> int:
        """Bytes that an image may have now; NoSpace when `length` is more."""
        with disk_errors(f"the image folder {self._folder} cannot be used"):
            stat = os.statvfs(self._folder)
        room = stat.f_bavail * stat.f_frsize - SPARE_BYTES
        if room <= 0 or (length is not None and length > room):
            raise NoSpace(f"pool {self._pool} has room for {max(room, 0)} bytes", room_bytes=max(room, 0))
        return room

    def _read_all(self) -> list[Image]:
        with disk_errors(f"the image folder {self._folder} cannot be read"):
            found = [self._read(about.name.removesuffix(".json")) for about in self._about.glob("*.json")]
        return sorted((image for image in found if image is not None), key=lambda image: image.name)

    def _read(self, name: str) -> Image | None:
        with disk_errors(f"the image folder {self._folder} cannot be read"):
            try:
                raw = (self._about / f"{name}.json").read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None
        if not (self._folder / name).is_file():
            return None
        try:
            return msgspec.json.decode(raw, type=Image)
        except msgspec.DecodeError as err:
            log.warning(
                "image %s of pool %s is not listed, what is known of it cannot be read: %s", name, self._pool, err
            )
            return None

    def _keep(self, part: Path, image: Image) -> None:
        with disk_errors(f"image {image.name} could not be kept"):
            write_whole(self._about / f"{image.name}.json", msgspec.json.encode(image), 0o644)
            publish(part, self._folder / image.name)

    def _discard(self, name: str) -> None:
        with disk_errors(f"image {name} could not be removed"):
            if not self._folder.is_dir():
                return
            for path in (self._folder / name, self._folder / (name + PART), self._about / f"{name}.json"):
                path.unlink(missing_ok=True)
            sync_folder(self._folder)


class _Part:
    """A file that grows. Blocks of zeros become holes. All methods block."""

    def __init__(self, path: Path, room_bytes: int) -> None:
        self.size = 0
        self._path = path
        self._room_bytes = room_bytes
        self._sum = hashlib.sha256()
        with disk_errors(f"{path.name} could not be made"):
            path.unlink(missing_ok=True)
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
            self._file = os.fdopen(os.open(path, flags, 0o644), "wb", buffering=0)

    def write(self, block: bytes) -> None:
        self._sum.update(block)
        self.size += len(block)
        if self.size > self._room_bytes:
            raise NoSpace(f"{self._path.name} is larger than the {self._room_bytes} bytes that there is room for")
        with disk_errors(f"{self._path.name} could not be written"):
            if block == _ZEROS:
                self._file.seek(len(block), os.SEEK_CUR)
                return
            rest = memoryview(block)
            while rest:
                rest = rest[self._file.write(rest) :]

    def finish(self) -> str:
        """Its SHA-256; everything is on the disk."""
        with disk_errors(f"{self._path.name} could not be written"):
            self._file.truncate(self.size)
            os.fsync(self._file.fileno())
            self._file.close()
        return self._sum.hexdigest()

    def discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


async def _blocks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in blocks of BLOCK_BYTES, the last one shorter."""
    held = bytearray()
    async for chunk in chunks:
        held += chunk
        while len(held) >= BLOCK_BYTES:
            yield bytes(held[:BLOCK_BYTES])
            del held[:BLOCK_BYTES]
    if held:
        yield bytes(held)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)
