"""Whether QEMU can come to a file, and how it is let through.

libvirt runs QEMU as a user of its own (Debian: `libvirt-qemu`). It gives that user the file itself, but never the folders
above it, and a state folder in a developer's home lies under a folder that only its owner may enter. As virt-manager does,
we give that one user search permission on just those folders, by an ACL entry `u:libvirt-qemu:--x`. Nobody else gains.

The ACL is read and written as the kernel keeps it (acl(5), linux/posix_acl_xattr.h), so that no program is needed.
All functions block: call them on a thread.
"""

import errno
import grp
import logging
import os
import pwd
import struct
from pathlib import Path

import msgspec

from horcrux.errors import HostLacks

_log = logging.getLogger(__name__)

QEMU_USER = "libvirt-qemu"

_XATTR = "system.posix_acl_access"
_VERSION = 2
_HEADER = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NO_ID = 0xFFFFFFFF
_SEARCH = 1


class Account(msgspec.Struct, frozen=True):
    """A user of this host. `gids` are all groups its processes have."""

    name: str
    uid: int
    gids: frozenset[int]


class _Entry(msgspec.Struct, frozen=True, order=True):
    tag: int
    id: int
    perm: int


def find_account(name: str = QEMU_USER) -> Account:
    """The account called `name`; HostLacks when this host has none."""
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise HostLacks(
            f"this host has no user {name}, as which QEMU runs; install libvirt (apt-get install libvirt-daemon-system)"
        ) from None
    also = {group.gr_gid for group in grp.getgrall() if name in group.gr_mem}
    return Account(name, user.pw_uid, frozenset({user.pw_gid, *also}))


def closed_folders(path: str | Path, who: Account) -> list[Path]:
    """The folders above `path`, from the root down, that `who` may not enter. Those that do not exist are left out."""
    return [folder for folder in _above(Path(path)) if folder.is_dir() and not _may_search(folder, who)]


def open_way(path: str | Path, who: Account | None = None) -> list[Path]:
    """`who` (QEMU's user when None) may enter every folder above `path`; returns those that had to be opened.
    Each is logged. HostLacks, with the remedy, for one that cannot be opened. Idempotent."""
    account = who or find_account()
    opened = []
    for folder in closed_folders(path, account):
        try:
            _grant_search(folder, account.uid)
        except OSError as err:
            raise HostLacks(
                f"user {account.name}, as which QEMU runs, may not enter {folder} and could not be let in "
                f"({os.strerror(err.errno or 0)}); run `chmod o+x {folder}`, or keep {path} elsewhere",
                folder=str(folder),
            ) from err
        _log.info("let user %s through folder %s, on the way to %s", account.name, folder, path)
        opened.append(folder)
    return opened


def _above(path: Path) -> list[Path]:
    """Ancestors of `path` as written and as it resolves (a link's target has folders of its own), each once."""
    written = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow the links that we want to keep
    both = [*reversed(written.parents), *reversed(Path(os.path.realpath(path)).parents)]
    return list(dict.fromkeys(both))


def _may_search(folder: Path, who: Account) -> bool:
    """acl(5), access check algorithm."""
    if who.uid == 0:
        return True
    stat = folder.stat()
    if stat.st_uid == who.uid:
        return bool(stat.st_mode & 0o100)
    acl = _read_acl(folder)
    mask = next((e.perm for e in acl if e.tag == _MASK), 7)
    for entry in acl:
        if entry.tag == _USER and entry.id == who.uid:
            return bool(entry.perm & mask & _SEARCH)
    groups = [
        entry.perm & mask
        for entry in acl
        if (entry.tag == _GROUP_OBJ and stat.st_gid in who.gids) or (entry.tag == _GROUP and entry.id in who.gids)
    ]
    if groups:
        return any(perm & _SEARCH for perm in groups)
    return bool(stat.st_mode & 0o001)


def _grant_search(folder: Path, uid: int) -> None:
    """`uid` may search `folder`. Widening the mask must not widen anybody else's rights, so those are cut to what they were."""
    acl = _read_acl(folder)
    mask = next((e.perm for e in acl if e.tag == _MASK), None)
    group = next(e.perm for e in acl if e.tag == _GROUP_OBJ)
    limit = group if mask is None else mask
    kept = [
        msgspec.structs.replace(e, perm=e.perm & limit) if e.tag in (_USER, _GROUP_OBJ, _GROUP) else e
        for e in acl
        if e.tag != _MASK and not (e.tag == _USER and e.id == uid)
    ]
    mine = next((e.perm & limit for e in acl if e.tag == _USER and e.id == uid), 0)
    wanted = [*kept, _Entry(_USER, uid, mine | _SEARCH), _Entry(_MASK, _NO_ID, limit | _SEARCH)]
    packed = b"".join(_ENTRY.pack(e.tag, e.perm, e.id) for e in sorted(wanted))
    os.setxattr(folder, _XATTR, _HEADER.pack(_VERSION) + packed)


def _read_acl(folder: Path) -> list[_Entry]:
    """Its entries; made from the mode where it has no ACL."""
    try:
        raw = os.getxattr(folder, _XATTR)
    except OSError as err:
        if err.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
            raise
        mode = folder.stat().st_mode
        return [
            _Entry(_USER_OBJ, _NO_ID, mode >> 6 & 7),
            _Entry(_GROUP_OBJ, _NO_ID, mode >> 3 & 7),
            _Entry(_OTHER, _NO_ID, mode & 7),
        ]
    return [_Entry(tag, id_, perm) for tag, perm, id_ in _ENTRY.iter_unpack(raw[_HEADER.size :])]
