"""The pools that libvirt keeps for us: defined, started and stopped by one thread, and its errors as ours.

Only pools named `hx-<our node>-<pool>` are touched, and secrets for them. libvirt starts none of them by itself: the agent
opens what its documents name.
"""

import base64
import binascii
import errno
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import libvirt

from agent.host.libvirt_link import LibvirtLink
from horcrux.errors import (
    AlreadyExists,
    Conflict,
    HorcruxError,
    HostLacks,
    NoSpace,
    NotFound,
    Unavailable,
    Unreachable,
)
from horcrux.ids import NodeId
from horcrux.storage.pool import PoolDocument, PoolType
from horcrux.storage.pool_xml import pool_target, pool_xml, same_place, secret_id, secret_xml

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

_NODE_POOL = re.compile(r"hx-n[0-9a-f]{8}-")
_BACKENDS = {"rbd": "libvirt-daemon-driver-storage-rbd", "iscsi": "libvirt-daemon", "netfs": "libvirt-daemon"}
"""Debian's package with libvirt's part for a type of pool."""


class LibvirtPools:
    def __init__(self, uri: str, node_id: NodeId, name: str) -> None:
        self._node = node_id
        self._link = LibvirtLink(uri, _translated, name=name)

    async def close(self) -> None:
        """The connection and its thread are gone; a call under way ends first."""
        await self._link.close()

    def name_of(self, pool: PoolDocument) -> str:
        """libvirt's for it."""
        return f"hx-{self._node}-{pool.id}"

    async def open(self, pool: PoolDocument, folder: str) -> None:
        """libvirt has the pool as its document says, with its user's key, and it is active. Idempotent."""
        await self.call(pool, _open_pool, pool, folder)

    async def remove(self, pool: PoolDocument) -> None:
        await self.call(pool, _remove_pool)
        await self.call(pool, _remove_secret)

    async def remove_leftover(self, pool: PoolDocument, folder: str) -> None:
        """libvirt no longer knows, on this folder, the pool of a node whose state folder was ours and has been deleted: it
        allows one pool a folder. Its files stay."""
        await self.call(pool, _remove_leftover, folder)

    async def check_active(self, pool: PoolDocument) -> None:
        """Unavailable."""
        await self.call(pool, active_pool)

    async def call(
        self,
        pool: PoolDocument,
        fn: Callable[Concatenate[libvirt.virConnect, str, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Result of `fn(connection, libvirt's name for the pool, …)` on libvirt's thread; its errors as ours."""
        return await self._link.call(pool.id, fn, self.name_of(pool), *args, **kwargs)


def _find_pool(connection: libvirt.virConnect, name: str) -> libvirt.virStoragePool | None:
    try:
        return connection.storagePoolLookupByName(name)
    except libvirt.libvirtError as err:
        if err.get_error_code() == libvirt.VIR_ERR_NO_STORAGE_POOL:
            return None
        raise


def active_pool(connection: libvirt.virConnect, name: str) -> libvirt.virStoragePool:
    """Unavailable when libvirt does not know it, or it is not active."""
    pool = _find_pool(connection, name)
    if pool is None:
        raise Unavailable(f"libvirt does not know pool {name}; it is defined again when the agent opens it", pool=name)
    if not pool.isActive():
        raise Unavailable(f"libvirt's pool {name} is not active: it was stopped from outside", pool=name)
    return pool


def _open_pool(connection: libvirt.virConnect, name: str, document: PoolDocument, folder: str) -> None:
    wanted = pool_xml(document, name, folder)
    pool = _find_pool(connection, name)
    if pool is not None and not same_place(wanted, pool.XMLDesc(0)):
        _remove_pool(connection, name)
        pool = None
    if "key_file" in document.options:
        _put_secret(connection, name, document)
    if pool is None:
        pool = connection.storagePoolDefineXML(wanted, 0)
    if pool.autostart():
        pool.setAutostart(0)
    if not pool.isActive():
        pool.create(0)


def _put_secret(connection: libvirt.virConnect, name: str, document: PoolDocument) -> None:
    """libvirt holds the key that the file holds now. It is in no message: only the file's name is."""
    file = document.options["key_file"]
    try:
        key = Path(file).read_bytes().strip()
        if document.storage_type is PoolType.RBD:
            key = base64.b64decode(key, validate=True)
    except OSError as err:
        raise Unavailable(f"pool {document.id}: key file {file} cannot be read: {os.strerror(err.errno or 0)}") from err
    except binascii.Error:
        raise Unavailable(
            f"pool {document.id}: key file {file} must hold nothing but a key of Ceph's in base64"
        ) from None
    connection.secretDefineXML(secret_xml(document, name), 0).setValue(key, 0)


def _remove_secret(connection: libvirt.virConnect, name: str) -> None:
    try:
        connection.secretLookupByUUIDString(secret_id(name)).undefine()
    except libvirt.libvirtError as err:
        if err.get_error_code() != libvirt.VIR_ERR_NO_SECRET:
            raise


def _remove_leftover(connection: libvirt.virConnect, name: str, folder: str) -> None:
    for other in connection.listAllStoragePools(0):
        if other.name() != name and _NODE_POOL.match(other.name()) and pool_target(other.XMLDesc(0)) == folder:
            log.warning("pool %s of libvirt is left over from an earlier node on %s: undefined", other.name(), folder)
            _remove_pool(connection, other.name())


def _remove_pool(connection: libvirt.virConnect, name: str) -> None:
    pool = _find_pool(connection, name)
    if pool is None:
        return
    if pool.isActive():
        pool.destroy()
    if pool.isPersistent():
        pool.undefine()


def _translated(err: libvirt.libvirtError, pool: str) -> HorcruxError:
    """libvirt's error as one of ours (libvirt.org/html/libvirt-virterror.html)."""
    words = f"pool {pool}: {err.get_error_message() or err}"
    if os.strerror(errno.ENOSPC) in words or os.strerror(errno.EDQUOT) in words:
        return NoSpace(f"the pool is full: {words}")
    if missing := re.search(r"missing backend for pool type \d+ \((\w+)\)", words):
        package = _BACKENDS.get(missing.group(1), "libvirt-daemon")
        return HostLacks(f"{words}; install {package} and restart libvirtd")
    if "Storage source conflict" in words:
        return Conflict(f"another pool of libvirt has that folder already: {words}")
    match err.get_error_code():
        case libvirt.VIR_ERR_AUTH_FAILED:
            return Unavailable(f"the storage refused the pool's user: {words}")
        case libvirt.VIR_ERR_NO_STORAGE_VOL:
            return NotFound(words)
        case libvirt.VIR_ERR_STORAGE_VOL_EXIST:
            return AlreadyExists(words)
        case libvirt.VIR_ERR_NO_STORAGE_POOL | libvirt.VIR_ERR_OPERATION_INVALID:
            return Unavailable(words)
        case libvirt.VIR_ERR_NO_SUPPORT | libvirt.VIR_ERR_CONFIG_UNSUPPORTED:
            return HostLacks(f"this host's libvirt cannot do that: {words}")
        case _:
            return Unreachable(f"libvirt: {words}")
