"""As much of ZFS's kernel as its channel programs see: the shipped programs run in a real Lua, on datasets in memory.

It answers as the kernel does where that was looked up (dsl_destroy.c, dsl_dataset.c): a volume with snapshots, or an open
one, is EBUSY to a destroy; one with anything below it, hidden or not, EEXIST.
"""

import errno
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar

import msgspec
from lupa.lua54 import LuaRuntime

from agent.storage import zfs_library
from agent.storage.zfs_link import ZfsLink

P = ParamSpec("P")
T = TypeVar("T")


class Dataset(msgspec.Struct, kw_only=True):
    """A volume or file system, or a snapshot when there is an `@` in its name."""

    name: str
    guid: int
    kind: str = "volume"
    marks: dict[str, str] = msgspec.field(default_factory=dict)
    origin: str | None = None
    is_open: bool = False
    holds: list[str] = msgspec.field(default_factory=list)
    refuses: int = 0
    """Errno that destroying it is answered with."""
    refuses_rollback: int = 0


class Kernel:
    """`bookmarks` by dataset, each with the transaction group it was made in; a dataset's guid tells when it was made."""

    def __init__(self) -> None:
        self.datasets: dict[str, Dataset] = {}
        self.bookmarks: dict[str, dict[str, int]] = {}
        self._made = 0

    def make(self, name: str, marks: Mapping[str, str] | None = None, *, origin: str | None = None) -> Dataset:
        self._made += 1
        self.datasets[name] = Dataset(name=name, guid=self._made, marks=dict(marks or {}), origin=origin)
        return self.datasets[name]

    def bookmark(self, dataset: str, name: str) -> None:
        self._made += 1
        self.bookmarks.setdefault(dataset, {})[name] = self._made

    def run(self, program: str, arguments: Mapping[str, str]) -> str:
        lua = LuaRuntime(unpack_returned_tuples=True)
        names = lua.globals()
        for code in ("EBUSY", "EEXIST", "EAGAIN", "ENOENT", "EDQUOT", "ENOSPC"):
            names[code] = getattr(errno, code)
        names.zfs = lua.table_from({"exists": self.datasets.__contains__, "get_prop": self._property})
        names.zfs.list = lua.table_from({what: self._each(of) for what, of in self._lists().items()})
        names.zfs.list.user_properties = self._user_properties
        names.zfs.check = lua.table_from({"destroy": self._refuses_destroy, "rollback": self._refuses_rollback})
        names.zfs.sync = lua.table_from({"destroy": self._destroy, "set_prop": self._set, "inherit": self._inherit})
        answer = lua.execute(program, lua.table_from({"argv": lua.table_from(dict(arguments))}))
        assert isinstance(answer, str)
        return answer

    def snapshots(self, dataset: str) -> list[str]:
        return [name for name in self.datasets if name.startswith(f"{dataset}@")]

    def _lists(self) -> dict[str, Callable[[str], list[str]]]:
        return {
            "snapshots": self.snapshots,
            "children": lambda name: [child for child in self._below(name) if "%" not in child],
            "clones": lambda name: [one.name for one in self.datasets.values() if one.origin == name],
            "holds": lambda name: list(self.datasets[name].holds),
        }

    def _below(self, name: str) -> list[str]:
        return [one for one in self.datasets if one.rpartition("/")[0] == name and "@" not in one]

    @staticmethod
    def _each(of: Callable[[str], list[str]]) -> Callable[[str], Callable[..., str | None]]:
        def iterate(name: str) -> Callable[..., str | None]:
            left: Iterator[str] = iter(of(name))
            return lambda *_state: next(left, None)

        return iterate

    def _user_properties(self, name: str) -> Callable[..., tuple[str, str, str] | None]:
        left = iter([(what, value, name) for what, value in self.datasets[name].marks.items()])
        return lambda *_state: next(left, None)

    def _property(self, name: str, what: str) -> Any:
        one = self.datasets[name]
        native: dict[str, object] = {"type": one.kind, "guid": one.guid, "createtxg": one.guid, "origin": one.origin}
        native |= {"volsize": 1, "used": 1, "refreservation": 0, "creation": 1}
        if what in native:
            return native[what]
        above = name.partition("@")[0]
        while above:
            if above in self.datasets and what in self.datasets[above].marks:
                return self.datasets[above].marks[what], above
            above = above.rpartition("/")[0]
        return None

    def _refuses_destroy(self, name: str) -> int:
        one = self.datasets[name]
        if "@" in name:
            is_kept = one.holds and errno.EBUSY
            return one.refuses or is_kept or (errno.EEXIST if self._lists()["clones"](name) else 0)
        if one.is_open or self.snapshots(name):
            return errno.EBUSY
        return errno.EEXIST if self._below(name) else one.refuses

    def _refuses_rollback(self, name: str) -> int:
        snapshots = self.snapshots(name)
        if not snapshots:
            return errno.ESRCH
        newest = max(self.datasets[s].guid for s in snapshots)
        if any(made > newest for made in self.bookmarks.get(name, {}).values()):
            return errno.EEXIST
        one = self.datasets[name]
        return errno.EBUSY if one.is_open else one.refuses or one.refuses_rollback

    def _destroy(self, name: str) -> int:
        if refused := self._refuses_destroy(name):
            return refused
        del self.datasets[name]
        return 0

    def _set(self, name: str, what: str, value: str) -> int:
        self.datasets[name].marks[what] = value
        return 0

    def _inherit(self, name: str, what: str) -> int:
        self.datasets[name].marks.pop(what, None)
        return 0


class KernelLink(ZfsLink):
    """A link to such a kernel. `before` is called once, before the next program that writes."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self.kernel = kernel
        self.before: Callable[[], object] | None = None
        self.commands: list[tuple[str, ...]] = []

    async def program(self, dataset: str, text: str, arguments: Mapping[str, str], *, writes: bool = False) -> str:
        before = self.before
        if writes and before is not None:
            self.before = None
            before()
        return self.kernel.run(text, arguments)

    async def state(self, zpool: str) -> str | None:
        return "ONLINE"

    async def command(self, *argv: str, timeout_s: float | None = None) -> str:
        """A cut-off receive has a token until it is aborted."""
        self.commands.append(argv)
        partial = f"{argv[-1]}/%recv"
        if argv[:3] == ("zfs", "receive", "-A"):
            del self.kernel.datasets[partial]
        return "1-token\n" if partial in self.kernel.datasets else "-\n"

    async def run(self, dataset: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        there = self.kernel.bookmarks.setdefault(dataset, {})
        answers: dict[object, object] = {
            zfs_library.exists: dataset in self.kernel.datasets,
            zfs_library.bookmarks: {name: (made, made) for name, made in there.items()},
        }
        if fn is zfs_library.destroy_bookmarks:
            for name in args[0]:  # type: ignore[attr-defined]  # a ParamSpec's arguments cannot be told apart
                del there[name.partition("#")[2]]
        return answers.get(fn)  # type: ignore[return-value]  # the answer is what that function returns
