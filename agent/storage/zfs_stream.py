"""Streams of snapshots, and what keeps their points in common alive: what replication and backup of ZFS volumes stand on.

Names are whole: dataset `tank/vms/disk0`, snapshot `tank/vms/disk0@sent`, bookmark `tank/vms/disk0#sent`. Guaranteed:

- `send` and `receive` run on threads of their own as long as they last, and never hold up other calls. `fd` must be a pipe
  (the kernel reads and writes it itself) and stays the caller's to close. To end one early, close the other end of the pipe:
  it comes back with Interrupted. Cancelling it alone does not end it: it is awaited, so that nothing changes behind our back.
- A `receive` that ends early, by whatever cause, also a power cut, keeps what came; `resume_token` names it, `send_resumed`
  continues it, `abort_receive` forgets it. A whole stream is one step: the snapshot is there, or it is not.
- `receive` never rolls back and never overwrites: Diverged when the dataset was written to or stands elsewhere.
- What was received carries no mark of ours until `mark` gives it one: the driver does not list it as a volume before.
- Everything else is short, idempotent where it says so, and raises what `agent.storage.driver` says: NotFound, AlreadyExists,
  InUse, NoSpace, Unavailable.
"""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from agent.blocking import BlockingPool
from agent.storage import zfs_library, zfs_programs
from agent.storage.zfs_library import Properties
from agent.storage.zfs_link import ZfsLink, from_command
from horcrux.errors import HostLacks, Interrupted, InUse, NotFound, Unreachable
from horcrux.storage.zfs import zpool_of

STREAMS = 8
"""At one time; a ninth waits."""


class ZfsPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot or bookmark. `guid` is the same wherever the same content is; `createtxg` orders those of one dataset."""

    name: str
    guid: int
    createtxg: int


class ZfsStreams:
    """Close it before the link it was given."""

    def __init__(self, link: ZfsLink) -> None:
        self._link = link
        self._threads = BlockingPool("zfs-stream", STREAMS)

    async def close(self) -> None:
        """Waits for streams under way: close their pipes first."""
        await asyncio.to_thread(self._threads.close)

    async def send(self, snapshot: str, fd: int, *, since: str | None = None, is_raw: bool = False) -> None:
        """The stream has been written to `fd`: the whole snapshot, or what changed `since` a snapshot or bookmark of the same
        dataset. `is_raw` leaves encrypted data as it lies on the disk. NotFound; Interrupted when nobody reads on."""
        await self._link.check(zpool_of(snapshot))
        await self._threads.run(zfs_library.send, snapshot, since, fd, is_raw=is_raw)

    async def send_resumed(self, token: str, fd: int) -> None:
        """What the receiver who gave `token` has not got yet has been written to `fd`. NotFound when the snapshot is gone."""
        argv = ("zfs", "send", "-t", token)
        child = await _child(argv, stdout=fd)
        try:
            assert child.stderr is not None
            err = await child.stderr.read()
            code = await child.wait()
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if code < 0:
            raise Interrupted("`zfs send` was ended: nobody reads on")
        if code != 0:
            words = err.decode("utf-8", "replace")
            if "no longer exists" in words or "does not exist" in words:
                raise NotFound("what the token continues is not there any more; begin anew")
            raise from_command((*argv[:2], "token"), code, words)

    async def send_bytes(self, snapshot: str, *, since: str | None = None) -> int:
        """About what `send` will write."""
        return await self._link.run(snapshot, zfs_library.send_bytes, snapshot, since)

    async def receive(
        self, snapshot: str, fd: int, *, properties: Properties | None = None, is_raw: bool = False
    ) -> None:
        """What comes from `fd` has become `snapshot`, its dataset made for a whole stream. `properties` are set as received
        ones, as the kernel wants them (`{"readonly": 1}`). Interrupted when the stream ends early: then resumable. Diverged;
        AlreadyExists; NotFound for a missing dataset above; NoSpace."""
        await self._link.check(zpool_of(snapshot))
        await self._threads.run(zfs_library.receive, snapshot, fd, properties or {}, is_raw=is_raw)

    async def resume_token(self, dataset: str) -> str | None:
        """Of a receive that was cut off; None when there was none, or no such dataset."""
        try:
            token = await self._link.command("zfs", "get", "-Hp", "-o", "value", "receive_resume_token", dataset)
        except NotFound:
            return None
        return None if token.strip() in ("-", "") else token.strip()

    async def abort_receive(self, dataset: str) -> None:
        """What came of a cut-off receive is gone, with the dataset when it held nothing else; done already is fine."""
        if await self.resume_token(dataset) is not None:
            await self._link.command("zfs", "receive", "-A", dataset)

    async def snapshot(self, snapshots: Sequence[str]) -> None:
        """They are there, all of one time, or none; they must be of one zpool. AlreadyExists."""
        await self._link.run(snapshots[0], zfs_library.snapshot, snapshots, {})

    async def destroy_snapshots(self, snapshots: Sequence[str]) -> None:
        """Gone, one after the other, also when they were gone before. InUse for one that is held or has clones."""
        for snapshot in snapshots:
            await self._destroy(snapshot)

    async def points(self, dataset: str) -> tuple[list[ZfsPoint], list[ZfsPoint]]:
        """Its snapshots and its bookmarks, each by createtxg. NotFound."""
        answer = await self._link.program(dataset, zfs_programs.SNAPSHOTS, {"dataset": dataset})
        if answer == "missing":
            raise NotFound(f"dataset {dataset} is not there")
        snapshots = [
            ZfsPoint(name=row.name, guid=row.guid, createtxg=row.createtxg)
            for row in zfs_programs.read_snapshots(answer)
        ]
        found = await self._link.run(dataset, zfs_library.bookmarks, dataset)
        bookmarks = [ZfsPoint(name=name, guid=guid, createtxg=txg) for name, (guid, txg) in found.items()]
        return snapshots, sorted(bookmarks, key=lambda point: point.createtxg)

    async def hold(self, snapshot: str, tag: str) -> None:
        """It cannot be destroyed until `release`. NotFound; idempotent."""
        await self._link.run(snapshot, zfs_library.hold, snapshot, tag)

    async def release(self, snapshot: str, tag: str) -> None:
        """Not held under that tag, also when it was not, or is gone."""
        await self._link.run(snapshot, zfs_library.release, snapshot, tag)

    async def holds(self, snapshot: str) -> list[str]:
        """Tags. NotFound."""
        return await self._link.run(snapshot, zfs_library.holds, snapshot)

    async def bookmark(self, bookmark: str, source: str) -> None:
        """It remembers the snapshot `source`, also when that is destroyed. AlreadyExists, also for the same."""
        await self._link.run(bookmark, zfs_library.bookmark, bookmark, source)

    async def destroy_bookmarks(self, bookmarks: Sequence[str]) -> None:
        """Gone, also when they were gone before."""
        if bookmarks:
            await self._link.run(bookmarks[0], zfs_library.destroy_bookmarks, bookmarks)

    async def roll_back(self, dataset: str, snapshot: str) -> None:
        """The dataset is as at `snapshot` (whole name), its newest. AlreadyExists when it is not the newest."""
        await self._link.run(dataset, zfs_library.roll_back, dataset, snapshot)

    async def mark(self, dataset: str, marks: Mapping[str, str]) -> None:
        """It has these user properties; an empty value takes one away. All in one step. NotFound."""
        answer = await self._link.program(dataset, zfs_programs.MARK, {**marks, "dataset": dataset}, writes=True)
        if answer == "missing":
            raise NotFound(f"dataset {dataset} is not there")
        if answer != "done":
            raise Unreachable(f"{dataset} could not be marked: {answer}")

    async def number(self, dataset: str, name: str) -> int:
        """A property that is a number (`written`, `used`, `volsize`). NotFound."""
        answer = await self._link.command("zfs", "get", "-Hp", "-o", "value", name, dataset)
        try:
            return int(answer)
        except ValueError:
            raise Unreachable(f"{name} of {dataset} is no number: {answer.strip()[:100]}") from None

    async def _destroy(self, snapshot: str) -> None:
        answer = await self._link.program(snapshot, zfs_programs.DESTROY_SNAPSHOT, {"snapshot": snapshot}, writes=True)
        word, rows = zfs_programs.read_verdict(answer)
        match word:
            case "gone":
                return
            case "clones" | "holds":
                by = "clones stand on it" if word == "clones" else "it is held by"
                raise InUse(f"snapshot {snapshot} cannot be destroyed, {by}: {', '.join(rows)}", by=rows)
            case _:
                raise Unreachable(f"snapshot {snapshot} could not be destroyed: {answer}")


async def _child(argv: Sequence[str], stdout: int) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise HostLacks("this host has no zfs command; install it (apt-get install zfsutils-linux)") from None
