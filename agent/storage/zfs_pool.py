"""Pools on ZFS: the dataset a pool stands on, its key, and the file systems for images and backups below it.

free -> ours (marked with our node and pool) -> open (key loaded, images mounted) -> free again when the pool is removed
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from agent.storage import zfs_library
from agent.storage.ports import LetIn
from agent.storage.zfs_health import ZpoolHealth
from agent.storage.zfs_library import Properties
from agent.storage.zfs_link import ZfsLink
from agent.storage.zfs_programs import MARK, MARKS, SPACE, MarksRow, read_marks, read_space
from horcrux.errors import AlreadyExists, Conflict, HorcruxError, Invalid, Unavailable, Unreachable
from horcrux.ids import NodeId, PoolId
from horcrux.storage.pool import Health, PoolDocument, PoolSeen
from horcrux.storage.zfs import BACKUPS, IMAGES, NODE_MARK, POOL_MARK, ZfsOptions, encryption_index, zpool_of

LOW_PERCENT = 5
"""Of what the dataset may hold: its quota, and what ZFS keeps for itself on a small zpool, are not in the zpool's figures."""

_OFF = 0
_RAW, _HEX = 1, 2
"""zfs_keyformat_t."""
_FREE = MarksRow(whose="missing", pool="", type="filesystem", is_locked=False, is_encrypted=False, mountpoint="")


class ZfsPools:
    """`mounts` is where the file systems of all pools are mounted, each at `<mounts>/<dataset>`."""

    def __init__(self, link: ZfsLink, health: ZpoolHealth, node: NodeId, mounts: Path, let_qemu_in: LetIn) -> None:
        self._link = link
        self._health = health
        self._node = node
        self._mounts = mounts
        self._let_qemu_in = let_qemu_in
        self._open: set[PoolId] = set()
        self._opening: defaultdict[PoolId, asyncio.Lock] = defaultdict(asyncio.Lock)

    def marks(self, pool: PoolDocument) -> dict[str, str]:
        """What is set on everything of the pool that is ours."""
        return {NODE_MARK: self._node, POOL_MARK: pool.id}

    def target(self, pool: PoolDocument) -> str:
        """Its dataset; Unavailable before it has been opened."""
        if pool.id not in self._open:
            raise Unavailable(f"pool {pool.id} is not open", pool=pool.id)
        return pool.target

    def folder(self, pool: PoolDocument, child: str) -> Path:
        return self._mounts / pool.target / child

    async def open(self, pool: PoolDocument) -> None:
        """Unavailable for a zpool that is not imported, or a key that is not there; Conflict for a dataset of somebody else."""
        options = ZfsOptions.of(pool.options)
        async with self._opening[pool.id]:  # several who find it closed open it at once
            found = await self._look_at(pool.target)
            if found.whose == "missing":
                await self._create(pool, options)
            else:
                await self._take(pool, found, options)
            await self._mount(pool, IMAGES, is_for_qemu=True)
            self._open.add(pool.id)

    async def remove(self, pool: PoolDocument) -> None:
        """Its dataset belongs to nobody, unless it is another pool's. Idempotent; also when its zpool is gone."""
        self._open.discard(pool.id)
        zpool = zpool_of(pool.target)
        if await self._link.state(zpool) is None:
            return
        found = await self._look_at(pool.target)
        if found.whose == "ours" and found.pool == pool.id:
            await self._mark(pool.target, {NODE_MARK: "", POOL_MARK: ""})

    async def backup_folder(self, pool: PoolDocument) -> Path:
        """Where its backups lie: a file system of its own, made when it was not there, which only root may enter."""
        self.target(pool)
        return await self._mount(pool, BACKUPS, is_for_qemu=False)

    async def look(self, pool: PoolDocument) -> PoolSeen:
        try:
            zpool = await self._health.of(zpool_of(pool.target))
            used, available, reason = await self._space(pool, zpool.reason)
        except HorcruxError as err:
            return PoolSeen(id=pool.id, is_active=False, reason=str(err), health=Health.FAULTED, problems=(str(err),))
        is_locked = reason != "" and not zpool.reason and pool.id in self._open
        also = [reason] if is_locked else []
        if not reason and available * 100 < LOW_PERCENT * (used + available):
            also.append(
                f"pool {pool.id} has less than {LOW_PERCENT} % left; sparse volumes fail when there is nothing left"
            )
        return PoolSeen(
            id=pool.id,
            is_active=not reason,
            reason=reason,
            total_bytes=used + available,
            available_bytes=available,
            health=Health.FAULTED if is_locked else zpool.health,
            problems=(*zpool.problems, *also),
        )

    async def _space(self, pool: PoolDocument, reason: str) -> tuple[int, int, str]:
        """Used, available, and why it cannot be used."""
        if reason or pool.id not in self._open:
            return 0, 0, reason or f"pool {pool.id} is not open"
        answer = await self._link.program(pool.target, SPACE, {"target": pool.target})
        if answer == "missing":
            return 0, 0, f"dataset {pool.target} is not there: it was destroyed or renamed from outside"
        used, available, is_locked = read_space(answer)
        return used, available, f"the encryption key of {pool.target} is not loaded" if is_locked else ""

    async def _look_at(self, dataset: str) -> MarksRow:
        answer = await self._link.program(dataset, MARKS, {"dataset": dataset, "node": self._node})
        return _FREE if answer == "missing" else read_marks(answer)

    async def _create(self, pool: PoolDocument, options: ZfsOptions) -> None:
        """With what is missing above it. Nothing is mounted there: it holds volumes, and file systems with folders of their
        own."""
        parts = pool.target.split("/")
        for depth in range(2, len(parts)):
            await self._make("/".join(parts[:depth]), {"canmount": _OFF})
        properties: dict[str, int | str] = {"canmount": _OFF, **self.marks(pool)}
        key = None
        if options.encryption is not None and options.key_file is not None:
            key, key_format = await self._link.files(_read_key, options.key_file)
            properties |= {
                "encryption": encryption_index(options.encryption),
                "keyformat": key_format,
                "keylocation": f"file://{options.key_file}",
            }
        await self._link.run(pool.target, zfs_library.create_filesystem, pool.target, properties, key)

    async def _make(self, dataset: str, properties: Properties) -> None:
        try:
            await self._link.run(dataset, zfs_library.create_filesystem, dataset, properties)
        except AlreadyExists:
            return  # that is what was wanted

    async def _take(self, pool: PoolDocument, found: MarksRow, options: ZfsOptions) -> None:
        target = pool.target
        if found.type != "filesystem":
            raise Conflict(f"{target} is a {found.type}; a pool needs a dataset that can hold others")
        if found.whose == "other":
            words = (
                f"{target} is a pool of another node; if that is gone, `zfs inherit {NODE_MARK} {target}` sets it free"
            )
            raise Conflict(words)
        if found.whose == "ours" and found.pool != pool.id:
            raise Conflict(f"{target} is that of pool {found.pool} already; take another target", pool=found.pool)
        if options.encryption is not None and not found.is_encrypted:
            raise Conflict(
                f"{target} is there and not encrypted; encryption begins when a dataset is made: name a new one"
            )
        if found.is_locked:
            await self._load_key(target, options)
        if found.whose == "free":
            await self._mark(target, self.marks(pool))

    async def _load_key(self, target: str, options: ZfsOptions) -> None:
        if options.key_file is None:
            raise Unavailable(f"the encryption key of {target} is not loaded; run `zfs load-key {target}`")
        key, _ = await self._link.files(_read_key, options.key_file)
        await self._link.run(target, zfs_library.load_key, target, key)

    async def _mark(self, dataset: str, marks: dict[str, str]) -> None:
        answer = await self._link.program(dataset, MARK, {**marks, "dataset": dataset}, writes=True)
        if answer != "done":
            raise Unreachable(f"{dataset} could not be marked: {answer}")

    async def _mount(self, pool: PoolDocument, child: str, *, is_for_qemu: bool) -> Path:
        """The folder of a file system of ours below the pool's dataset; made when it was not there."""
        dataset, folder = f"{pool.target}/{child}", self.folder(pool, child)
        found = await self._look_at(dataset)
        if found.whose == "missing":
            switches = dict.fromkeys(("devices", "setuid", "exec"), _OFF)
            await self._make(dataset, {**switches, "mountpoint": str(folder), **self.marks(pool)})
        elif found.whose != "ours":
            raise Conflict(f"dataset {dataset} is not ours, and every pool keeps one of that name; take another target")
        elif found.mountpoint != str(folder):
            await self._link.mounting("zfs", "set", f"mountpoint={folder}", dataset)
        if not await self._link.run(dataset, os.path.ismount, folder):
            await self._link.mounting("zfs", "mount", dataset)
        await self._link.run(dataset, _let_in if is_for_qemu else _keep_out, folder, self._let_qemu_in)
        return folder


def _let_in(folder: Path, let_qemu_in: Callable[[Path], object]) -> None:
    folder.chmod(0o711)
    let_qemu_in(folder / "image")


def _keep_out(folder: Path, _let_qemu_in: Callable[[Path], object]) -> None:
    folder.chmod(0o700)


def _read_key(path: str) -> tuple[bytes, int]:
    """The 32 bytes of the key, and how the file holds them. Never told in an error."""
    try:
        content = Path(path).read_bytes()
    except OSError as err:
        raise Unavailable(f"the encryption key cannot be read from {path}: {os.strerror(err.errno or 0)}") from err
    if len(content) == 32:
        return content, _RAW
    try:
        key = bytes.fromhex(content.decode("ascii").strip())
    except (UnicodeDecodeError, ValueError):
        key = b""
    if len(key) != 32:
        raise Invalid(f"{path} holds neither the 32 bytes of a key nor its 64 hex digits")
    return key, _HEX
