"""What a transaction means, on whatever holds the rows. Semantics of etcd v3."""

from collections.abc import Iterable, Sequence
from typing import Protocol, assert_never

import msgspec

from horcrux.errors import Invalid, TooLarge
from horcrux.store import (
    MAX_TXN_OPS,
    MAX_VALUE_BYTES,
    Compare,
    Delete,
    Entry,
    Event,
    Get,
    LeaseLost,
    Op,
    Put,
    TxnResult,
)

MAX_TXN_BYTES = 1_400_000
"""Keys and values of a whole transaction, so that what one backend takes fits into etcd's request of 1.5 MB."""


class Rows(Protocol):
    """The keys as they stand, in the middle of a transaction."""

    def get(self, key: str) -> Entry | None: ...

    def put(self, entry: Entry) -> None: ...

    def remove(self, entry: Entry) -> None: ...

    def has_lease(self, lease_id: int) -> bool: ...


class Outcome(msgspec.Struct, frozen=True, gc=False):
    result: TxnResult
    events: tuple[Event, ...]


def check_txn(compares: Sequence[Compare], then: Sequence[Op], otherwise: Sequence[Op]) -> None:
    """Raises Invalid or TooLarge for what no backend takes."""
    size_bytes = 0
    if len(compares) > MAX_TXN_OPS:
        raise Invalid(f"a transaction has at most {MAX_TXN_OPS} compares, this one {len(compares)}")
    for compare in compares:
        size_bytes += check_key(compare.key)
        if isinstance(compare.value, bytes) != (compare.target == "value"):
            raise Invalid(f"a compare of {compare.target} with {type(compare.value).__name__} means nothing")
    for ops in (then, otherwise):
        if ops:
            size_bytes += _checked_ops(ops)
    if size_bytes > MAX_TXN_BYTES:
        raise TooLarge(f"a transaction has at most {MAX_TXN_BYTES} bytes, this one {size_bytes}")


def _checked_ops(ops: Sequence[Op]) -> int:
    """Bytes of keys and values."""
    if len(ops) > MAX_TXN_OPS:
        raise Invalid(f"a transaction has at most {MAX_TXN_OPS} operations, this one {len(ops)}")
    size_bytes = 0
    written: set[str] = set()
    for op in ops:
        size_bytes += check_key(op.key)
        if isinstance(op, Get):
            continue
        if op.key in written:
            raise Invalid(f"{op.key} is written twice in one transaction")
        written.add(op.key)
        if isinstance(op, Put):
            size_bytes += len(op.value)
            if len(op.value) > MAX_VALUE_BYTES:
                raise TooLarge(f"{op.key} would have {len(op.value)} bytes; {MAX_VALUE_BYTES} is the most")
    return size_bytes


def check_key(key: str) -> int:
    """Its length in bytes."""
    if not key or "\0" in key:
        raise Invalid("a key is a text of at least one character, without NUL")
    if key.isascii():
        return len(key)
    try:
        return len(key.encode())
    except UnicodeEncodeError as err:
        raise Invalid(f"{key!r} is no key: it cannot be written as UTF-8") from err


def evaluate(
    rows: Rows, revision: int, compares: Iterable[Compare], then: Sequence[Op], otherwise: Sequence[Op]
) -> Outcome:
    """Applies the transaction to `rows`, which stood at `revision`. Raises LeaseLost before anything is written."""
    succeeded = all(_holds(rows, compare) for compare in compares)
    ops = then if succeeded else otherwise
    for op in ops:
        if isinstance(op, Put) and op.lease and not rows.has_lease(op.lease):
            raise LeaseLost(f"lease {op.lease} has ended; {op.key} was not written")
    events: list[Event] = []
    gets: list[Entry | None] = []
    for op in ops:
        old = rows.get(op.key)
        match op:
            case Put():
                create, version = (old.create, old.version + 1) if old else (revision + 1, 1)
                entry = Entry(op.key, op.value, create, revision + 1, version, op.lease)
                rows.put(entry)
                events.append(Event("put", entry))
            case Delete():
                if old is not None:
                    rows.remove(old)
                    events.append(Event("delete", Entry(op.key, b"", 0, revision + 1, 0, 0)))
            case Get():
                gets.append(old)
            case _:
                assert_never(op)
    return Outcome(TxnResult(succeeded, revision + bool(events), tuple(gets)), tuple(events))


def _holds(rows: Rows, compare: Compare) -> bool:
    entry = rows.get(compare.key)
    match compare.target:
        case "mod":
            return compare.value == (entry.mod if entry else 0)
        case "create":
            return compare.value == (entry.create if entry else 0)
        case "value":
            return compare.value == (entry.value if entry else b"")
        case _:
            assert_never(compare.target)


def prefix_end(prefix: str) -> str | None:
    """The least text above all that begin with `prefix` (by code point, as UTF-8 sorts); None when there is none."""
    for last in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[last])
        if code < 0x10FFFF:
            above = 0xE000 if code == 0xD7FF else code + 1  # between them are the surrogates, which are no characters
            return prefix[:last] + chr(above)
    return None
