"""The one edge to pyzfs (`libzfs_core`): our words in, our errors out.

Every function blocks: call it on a thread (`agent.storage.zfs_link`). The library and /dev/zfs are opened by the first call,
so that a host without ZFS may import this module. Names are whole datasets (`tank/vms/disk0`), snapshots
(`tank/vms/disk0@before`) or bookmarks (`tank/vms/disk0#sent`).
"""

import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from horcrux.errors import (
    AlreadyExists,
    Diverged,
    HorcruxError,
    HostLacks,
    Interrupted,
    InUse,
    Invalid,
    NoSpace,
    NotFound,
    Unavailable,
    Unreachable,
)

Properties = Mapping[str, int | str]
"""Of a dataset, as the kernel wants them: words of ZFS's own (`compression`) as their numbers."""

INSTRUCTIONS = 100_000_000
"""What a channel program may do at most (the module's own ceiling): 10,000 volumes take a twentieth of it."""
PROGRAM_BYTES = 96 * 1024 * 1024

_LACKS = (
    "this host has no ZFS; install it (apt-get install zfsutils-linux zfs-dkms python3-pyzfs) and run `modprobe zfs`"
)


def _opened() -> Any:
    try:
        import libzfs_core
    except (ImportError, OSError) as err:
        raise HostLacks(f"{_LACKS} ({err})") from err
    return libzfs_core


@contextmanager
def _told(what: str) -> Iterator[Any]:
    """The library; whatever it raises comes out as one of ours, in a sentence that begins with `what`."""
    library = _opened()
    try:
        yield library
    except library.exceptions.ZFSInitializationFailed as err:
        raise HostLacks(f"{_LACKS} (/dev/zfs cannot be opened)") from err
    except library.exceptions.MultipleOperationsFailure as err:
        first = min(err.errors, key=lambda e: e.errno == errno.ENOENT)
        raise from_zfs(what, first.errno, _names(err.errors) or str(first.message)) from err
    except library.exceptions.ZFSError as err:
        raise from_zfs(what, err.errno, _details(err)) from err
    except NotImplementedError as err:
        raise HostLacks(f"{what}: this host's ZFS is too old for it ({err})") from err


def _names(errors: Sequence[Any]) -> str:
    """What the errors are about; pyzfs lets a count slip in among the names."""
    found = [e.name.decode() for e in errors if isinstance(getattr(e, "name", None), bytes)]
    return ", ".join(name for name in found if name != "N_MORE_ERRORS")


def _details(err: Any) -> str:
    details = getattr(err, "details", None)
    if isinstance(details, bytes):
        return details.decode("utf-8", "replace").partition("\n")[0]
    return str(err.message) if isinstance(err.message, str) else ""


def from_zfs(what: str, number: int | None, words: str) -> HorcruxError:
    """The kernel's errno as one of ours."""
    if number in _MEANINGS:
        kind, meaning = _MEANINGS[number]
        return kind(f"{what}: {meaning}")
    said = f"{what}: {words}" if words else what
    if number in _REFUSED:
        return Invalid(said)
    return Unreachable(f"{said} (ZFS error {number})")


_MEANINGS: Mapping[int | None, tuple[type[HorcruxError], str]] = {
    errno.ENOSPC: (NoSpace, "the zpool is full"),
    errno.EDQUOT: (NoSpace, "the quota of the dataset is used up"),
    errno.ENOENT: (NotFound, "it is not there"),
    errno.ESRCH: (NotFound, "it is not there"),
    errno.EEXIST: (AlreadyExists, "it is there already"),
    errno.EBUSY: (InUse, "somebody has it open, or it is held"),
    errno.EAGAIN: (Unavailable, "the zpool is suspended, its disks do not answer; see `zpool status`"),
    errno.EROFS: (Unavailable, "the zpool was imported read-only"),
    errno.EIO: (Unavailable, "its disks met an I/O error; see `zpool status`"),
    errno.ENXIO: (Unavailable, "its disks do not answer; see `zpool status`"),
    errno.EACCES: (Unavailable, "the encryption key is not loaded, or is not the right one"),
    errno.ENOTSUP: (HostLacks, "the zpool, or this host's ZFS, cannot do that"),
    errno.ETXTBSY: (Diverged, "it was written to since its newest snapshot"),
    errno.ENODEV: (Diverged, "it does not stand at what the stream begins with"),
    errno.EPIPE: (Interrupted, "the other end was closed"),
    errno.EINTR: (Interrupted, "it was cut off"),
    errno.EBADE: (Interrupted, "the stream ended early, or is damaged"),
    1040: (Interrupted, "the stream ended early"),
}
"""1040: ZFS_ERR_STREAM_TRUNCATED; EBADE is what ZFS on Linux calls ECKSUM."""

_REFUSED = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.EDOM, errno.ERANGE, errno.EXDEV, 1033, 1044})
"""1033: ZFS_ERR_WRONG_PARENT, 1044: ZFS_ERR_BADPROP."""


def _native(properties: Properties) -> dict[bytes, int | bytes]:
    return {k.encode(): v.encode() if isinstance(v, str) else v for k, v in properties.items()}


def exists(dataset: str) -> bool:
    """Of a dataset or snapshot; also False when its zpool is not imported."""
    with _told(f"{dataset} cannot be looked for") as lzc:
        return bool(lzc.lzc_exists(dataset.encode()))


def create_volume(dataset: str, properties: Properties) -> None:
    """`volsize` is among the properties. AlreadyExists."""
    with _told(f"volume {dataset} cannot be made") as lzc:
        lzc.lzc_create(dataset.encode(), "zvol", _native(properties))


def create_filesystem(dataset: str, properties: Properties, key: bytes | None = None) -> None:
    """Not mounted. AlreadyExists."""
    with _told(f"dataset {dataset} cannot be made") as lzc:
        lzc.lzc_create(dataset.encode(), "zfs", _native(properties), key)


def clone(dataset: str, origin: str, properties: Properties) -> None:
    with _told(f"clone {dataset} of {origin} cannot be made") as lzc:
        lzc.lzc_clone(dataset.encode(), origin.encode(), _native(properties))


def rename(dataset: str, to: str) -> None:
    with _told(f"{dataset} cannot be renamed to {to}") as lzc:
        lzc.lzc_rename(dataset.encode(), to.encode())


def destroy(dataset: str) -> None:
    """Of a dataset without snapshots."""
    with _told(f"{dataset} cannot be destroyed") as lzc:
        lzc.lzc_destroy(dataset.encode())


def snapshot(names: Sequence[str], properties: Properties) -> None:
    """All of one zpool at one time, or none. AlreadyExists names those in the way."""
    with _told(f"snapshots {', '.join(names)} cannot be made") as lzc:
        lzc.lzc_snapshot([n.encode() for n in names], _native(properties))


def destroy_snapshots(names: Sequence[str]) -> None:
    """All or none; those that are not there do not matter."""
    with _told(f"snapshots {', '.join(names)} cannot be destroyed") as lzc:
        lzc.lzc_destroy_snaps([n.encode() for n in names], False)


def roll_back(dataset: str, to: str) -> None:
    """To its newest snapshot. AlreadyExists when it is not the newest."""
    with _told(f"{dataset} cannot be rolled back to {to}") as lzc:
        lzc.lzc_rollback_to(dataset.encode(), to.encode())


def hold(name: str, tag: str) -> None:
    """Of a snapshot. NotFound; done already is fine."""
    with _told(f"snapshot {name} cannot be held") as lzc:
        try:
            missing = lzc.lzc_hold({name.encode(): tag.encode()})
        except lzc.exceptions.HoldFailure as err:
            if all(isinstance(e, lzc.exceptions.HoldExists) for e in err.errors):
                return
            raise
    if missing:
        raise NotFound(f"snapshot {name} is not there")


def release(name: str, tag: str) -> None:
    """Not held under that tag; done already is fine."""
    with _told(f"snapshot {name} cannot be released") as lzc:
        lzc.lzc_release({name.encode(): [tag.encode()]})


def holds(name: str) -> list[str]:
    """Tags that hold a snapshot."""
    with _told(f"holds of {name} cannot be listed") as lzc:
        return sorted(tag.decode() for tag in lzc.lzc_get_holds(name.encode()))


def bookmark(name: str, source: str) -> None:
    """AlreadyExists."""
    with _told(f"bookmark {name} cannot be made") as lzc:
        lzc.lzc_bookmark({name.encode(): source.encode()})


def bookmarks(dataset: str) -> dict[str, tuple[int, int]]:
    """Guid and createtxg by the short name."""
    with _told(f"bookmarks of {dataset} cannot be listed") as lzc:
        found = lzc.lzc_get_bookmarks(dataset.encode(), [b"guid", b"createtxg"])
        return {name.decode(): (int(p[b"guid"][b"value"]), int(p[b"createtxg"][b"value"])) for name, p in found.items()}


def destroy_bookmarks(names: Sequence[str]) -> None:
    """Gone, also when they were gone before."""
    with _told(f"bookmarks {', '.join(names)} cannot be destroyed") as lzc:
        lzc.lzc_destroy_bookmarks([n.encode() for n in names])


def load_key(dataset: str, key: bytes) -> None:
    """Of an encryption root; done already is fine. Unavailable for a wrong key."""
    with _told(f"the key of {dataset} cannot be loaded") as lzc:
        try:
            lzc.lzc_load_key(dataset.encode(), False, key)
        except lzc.exceptions.EncryptionKeyAlreadyLoaded:
            return


def send(name: str, since: str | None, fd: int, *, is_raw: bool) -> None:
    """The stream of a snapshot, whole or what changed `since` (a snapshot or bookmark), is written to `fd`."""
    flags = ["large_blocks", "embedded_data", "compress", *(["raw"] if is_raw else [])]
    with _told(f"{name} cannot be sent") as lzc:
        lzc.lzc_send(name.encode(), None if since is None else since.encode(), fd, flags)


def send_bytes(name: str, since: str | None) -> int:
    """About what `send` will write."""
    with _told(f"the size of {name} cannot be told") as lzc:
        return int(lzc.lzc_send_space(name.encode(), None if since is None else since.encode(), ["compress"]))


def receive(name: str, fd: int, properties: Properties, *, is_raw: bool) -> None:
    """The stream on `fd` has become the snapshot; cut off, what came stays to be resumed. Nothing is rolled back."""
    with _told(f"{name} cannot be received") as lzc:
        lzc.lzc_receive_resumable(name.encode(), fd, False, is_raw, None, _native(properties))


def run_program(zpool: str, program: str, arguments: Mapping[str, str], *, writes: bool) -> str:
    """What a channel program returns, which is text. With `writes` it is one step of the zpool: nothing comes in between, and
    it is on the disk afterwards; without, it only reads and waits for nothing (zfs-program(8))."""
    native: dict[bytes, object] = {k.encode(): v.encode() for k, v in arguments.items()}
    with _told(f"zpool {zpool} cannot be asked") as lzc:
        run = lzc.lzc_channel_program if writes else lzc.lzc_channel_program_nosync
        answer = run(zpool.encode(), program.encode(), INSTRUCTIONS, PROGRAM_BYTES, native)
    if not isinstance(answer, bytes):
        raise Unreachable(f"zpool {zpool} answered a question with {type(answer).__name__} instead of text")
    return answer.decode("utf-8", "replace")
