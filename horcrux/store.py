"""The Store: documents with revisions, compare-and-swap, watches, leases and locks.

Three backends implement `Store`: memory (tests, `cluster.store.memory`), SQLite (one node) and etcd (a cluster, with the
cluster issue). The semantics are those of etcd v3, which the interface has to fit: one revision counter for the whole
store, a transaction is all its compares, then one of two lists of operations; a watch replays from a revision.
One conformance suite (`tests/conformance/store`) runs on each of them.

Keys are `/hx/v1/<kind>/<id>`. Values are JSON objects with a `schema` field.
"""

from collections.abc import Mapping, Sequence
from typing import Generic, Literal, Protocol, Self, TypeVar

import msgspec

from horcrux.errors import AlreadyExists, HorcruxError, NotFound, Stale, Unavailable

MAX_VALUE_BYTES = 1_000_000
"""Below etcd's request limit of 1.5 MB; a larger value is TooLarge on every backend."""
MAX_TXN_OPS = 128
"""etcd's limit of operations in a transaction; more is Invalid on every backend."""


class Entry(msgspec.Struct, frozen=True):
    """One key as it stands. `create` and `mod` are revisions, `version` counts writes since creation (from 1)."""

    key: str
    value: bytes
    create: int
    mod: int
    version: int
    lease: int
    """Id of the lease the key lives under, 0 for none."""


class Compare(msgspec.Struct, frozen=True):
    """True when `target` of `key` equals `value`. A missing key has create = mod = 0 and value b''."""

    key: str
    target: Literal["mod", "create", "value"]
    value: int | bytes


class Put(msgspec.Struct, frozen=True):
    key: str
    value: bytes
    lease: int = 0


class Delete(msgspec.Struct, frozen=True):
    key: str


class Get(msgspec.Struct, frozen=True):
    key: str


Op = Put | Delete | Get


class TxnResult(msgspec.Struct, frozen=True):
    """`revision` is the store's after the transaction; `gets` holds one entry (or None) for each Get, in order."""

    succeeded: bool
    revision: int
    gets: tuple[Entry | None, ...] = ()


class Event(msgspec.Struct, frozen=True):
    """A change. For a delete, `entry.value` is b'' and `entry.mod` the revision of the delete."""

    kind: Literal["put", "delete"]
    entry: Entry


class Watch(Protocol):
    """An async iterator of changes. It never suspends between the events of one revision."""

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> Event: ...

    async def aclose(self) -> None:
        """The iteration ends, also one that waits at this moment; doing it twice does no harm."""
        ...


class Compacted(HorcruxError):
    """The revision asked for is no longer kept: list again, then watch from the list's revision + 1."""

    code = "compacted"


class LeaseLost(Unavailable):
    """The lease ended before the call: whatever it guarded may be another's by now."""

    code = "lease_lost"


class Lease(Protocol):
    """A promise to be alive. Keys put under it vanish when it ends."""

    @property
    def id(self) -> int: ...

    @property
    def ttl_s(self) -> int: ...

    async def keepalive(self) -> None:
        """The full ttl counts again from now; raises LeaseLost when it had ended."""
        ...

    async def revoke(self) -> None:
        """The lease and every key under it are gone; doing it twice does no harm."""
        ...


class Store(Protocol):
    """All calls raise Unavailable when the store cannot be asked (closed, or no quorum)."""

    async def get(self, key: str) -> Entry | None:
        """The newest entry (linearizable)."""
        ...

    async def list(self, prefix: str) -> tuple[list[Entry], int]:
        """Entries whose key begins with `prefix`, by key, and the revision they were read at."""
        ...

    async def txn(self, compares: Sequence[Compare], then: Sequence[Op], otherwise: Sequence[Op] = ()) -> TxnResult:
        """Durable when it returns. A key may be written once in a transaction (Invalid otherwise, as in etcd)."""
        ...

    def watch(self, prefix: str, from_revision: int) -> Watch:
        """Every change of `prefix` with mod >= `from_revision`, in order, without end and without gaps.

        Raises Compacted when that revision is no longer kept. Close it with `aclose()`.
        """
        ...

    async def lease(self, ttl_s: int) -> Lease:
        """A fresh lease. After a restart every lease has its full ttl again (SQLite) or what was left (etcd)."""
        ...

    async def revoke_lease(self, lease_id: int) -> None:
        """Ends a lease known by its id only (one left by an earlier life of this agent)."""
        ...

    async def lock(self, name: str, lease: Lease, holder: bytes = b"") -> int:
        """Waits until `/hx/v1/lock/<name>` is ours, under `lease`; the fencing token is the key's create revision.

        `holder` is the key's value, for whoever asks who has it. Guarded writes compare `create` of the lock's key
        with the token. Waiters are served in the order in which they came. Ends by revoking the lease, or `unlock`.
        """
        ...

    async def try_lock(self, name: str, lease: Lease, holder: bytes = b"") -> int | None:
        """The fencing token, or None when another holds it."""
        ...

    async def unlock(self, name: str, token: int) -> None:
        """Frees the lock when it is still ours by `token`; else nothing happens."""
        ...

    async def compact(self, revision: int) -> None:
        """History before `revision` may be forgotten; the newest values stay."""
        ...

    async def aclose(self) -> None: ...


def lock_key(name: str) -> str:
    return f"/hx/v1/lock/{name}"


T = TypeVar("T", bound=msgspec.Struct)


class Document(msgspec.Struct, Generic[T], frozen=True):
    """A typed document with the revision (ETag) it was read at.

    `raw` is the decoded JSON as stored: fields that this version does not know live there and survive an update
    (msgspec drops them when decoding into a Struct, measured with 0.22).
    """

    key: str
    value: T
    revision: int
    raw: Mapping[str, object]


class Collection(Generic[T]):
    """Documents of one type below `/hx/v1/<kind>/`. Stateless beside the store: make as many as you like."""

    def __init__(self, store: Store, kind: str, type_: type[T], schema: int = 1) -> None:
        self.store = store
        self.kind = kind
        self.prefix = f"/hx/v1/{kind}/"
        self._type = type_
        self._schema = schema

    def key(self, id_: str) -> str:
        return self.prefix + id_

    def decode(self, entry: Entry) -> Document[T]:
        raw = msgspec.json.decode(entry.value, type=dict[str, object])
        return Document(entry.key, msgspec.convert(raw, self._type), entry.mod, raw)

    def encode(self, value: T, onto: Mapping[str, object] | None = None) -> bytes:
        """JSON of `value`, laid over the fields of `onto` that this version does not know."""
        known = {f.encode_name for f in msgspec.structs.fields(self._type)}
        kept = {k: v for k, v in (onto or {}).items() if k not in known}
        return msgspec.json.encode({**kept, **msgspec.to_builtins(value), "schema": self._schema})

    async def get(self, id_: str) -> Document[T]:
        """Raises NotFound."""
        entry = await self.store.get(self.key(id_))
        if entry is None:
            raise NotFound(f"{self.kind} {id_} does not exist", kind=self.kind, id=id_)
        return self.decode(entry)

    async def find(self, id_: str) -> Document[T] | None:
        entry = await self.store.get(self.key(id_))
        return None if entry is None else self.decode(entry)

    async def list(self) -> list[Document[T]]:
        entries, _ = await self.store.list(self.prefix)
        return [self.decode(e) for e in entries]

    async def create(self, id_: str, value: T, also: Sequence[Op] = (), when: Sequence[Compare] = ()) -> int:
        """The document's revision. Raises AlreadyExists; Stale when a compare of `when` failed instead."""
        key = self.key(id_)
        result = await self.store.txn(
            [Compare(key, "create", 0), *when], [Put(key, self.encode(value)), *also], [Get(key)]
        )
        if not result.succeeded:
            if result.gets[0] is not None:
                raise AlreadyExists(f"{self.kind} {id_} exists already", kind=self.kind, id=id_)
            raise Stale(f"what {self.kind} {id_} rests on has changed meanwhile", kind=self.kind, id=id_)
        return result.revision

    async def replace(
        self, id_: str, was: Document[T], value: T, also: Sequence[Op] = (), when: Sequence[Compare] = ()
    ) -> int:
        """The new revision; nothing changes unless the document is still at `was.revision` (Stale otherwise)."""
        result = await self.store.txn(
            [Compare(was.key, "mod", was.revision), *when], [Put(was.key, self.encode(value, was.raw)), *also]
        )
        if not result.succeeded:
            raise Stale(f"{self.kind} {id_} has changed meanwhile", kind=self.kind, id=id_)
        return result.revision

    async def delete(
        self, id_: str, revision: int | None = None, also: Sequence[Op] = (), when: Sequence[Compare] = ()
    ) -> None:
        """Gone afterwards, also when it was gone before; Stale when `revision` is given and is not the current one."""
        compares = [] if revision is None else [Compare(self.key(id_), "mod", revision)]
        result = await self.store.txn([*compares, *when], [Delete(self.key(id_)), *also])
        if not result.succeeded:
            raise Stale(f"{self.kind} {id_} has changed meanwhile", kind=self.kind, id=id_)
