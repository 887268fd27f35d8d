"""Entries by key, in the order of their keys, in memory."""

from bisect import bisect_left, insort
from collections.abc import Iterable

from cluster.store.txn import prefix_end
from horcrux.store import Entry


class SortedEntries:
    """A dict whose keys are also kept sorted. 10,000 keys: a put of a new key moves 40 KiB at most."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._by_key = {entry.key: entry for entry in entries}
        self._keys = sorted(self._by_key)

    def get(self, key: str) -> Entry | None:
        return self._by_key.get(key)

    def put(self, entry: Entry) -> None:
        if entry.key not in self._by_key:
            insort(self._keys, entry.key)
        self._by_key[entry.key] = entry

    def remove(self, key: str) -> Entry | None:
        """The entry that was there."""
        entry = self._by_key.pop(key, None)
        if entry is not None:
            del self._keys[bisect_left(self._keys, key)]
        return entry

    def below(self, prefix: str) -> list[Entry]:
        end = prefix_end(prefix)
        first = bisect_left(self._keys, prefix)
        last = len(self._keys) if end is None else bisect_left(self._keys, end)
        by_key = self._by_key
        return [by_key[key] for key in self._keys[first:last]]
