"""What a run has to do for one volume, decided from what both sides have.

    nothing there ---------------------------------------> whole stream of the oldest snapshot, then step by step
    cut-off receive, its snapshot still here ------------> the rest of that stream, then step by step from it
    cut-off receive of what is no longer here -----------> thrown away, then as without
    newest replicated point still here (also bookmark) --> step by step from it
    the source went back to an older common point -------> replica rolled back to it: only what we had sent is lost
    anything else                                      --> Diverged: somebody else changed the replica; nothing is destroyed

Step by step: every snapshot on the way is replicated too, but those that replications made for themselves.
"""

from collections.abc import Sequence

import msgspec

from horcrux.errors import Diverged
from horcrux.replication.points import OURS, Point, Points, Since


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """The target's side of one volume. `received` are guids of every snapshot that the replication sent and finished,
    `last` the newest of them that made a run whole; `incoming` is the guid that a cut-off receive (`token`) was to become."""

    exists: bool = False
    points: Points = Points()
    token: str | None = None
    incoming: str | None = None
    received: tuple[str, ...] = ()
    last: str | None = None
    written_bytes: int = 0


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One stream. `token`: only its rest."""

    snapshot: Point
    since: Since | None = None
    token: str | None = None


class VolumePlan(msgspec.Struct, frozen=True, kw_only=True):
    """In this order: `abandon` what was cut off, roll back, then the streams."""

    abandon: bool = False
    rollback_to: str | None = None
    steps: tuple[Step, ...] = ()


def plan_volume(source: Points, goal: str, replica: Replica) -> VolumePlan:
    """What brings the replica to the source's snapshot `goal`. Diverged, naming a snapshot."""
    end = next(point for point in source.snapshots if point.name == goal)
    way = [p for p in source.snapshots if p.order <= end.order and (p == end or not p.name.startswith(OURS))]
    if replica.token is not None:
        return _after_cut(source, way, end, replica)
    if not replica.exists:
        return VolumePlan(steps=_steps(None, way))
    common, newer = _common(source, replica)
    _check_untouched(replica, common, newer)
    if common.order > end.order:
        return VolumePlan()
    steps = _steps(_since(source, common), [p for p in way if p.order > common.order])
    return VolumePlan(rollback_to=_name_there(replica, common) if newer else None, steps=steps)


def _after_cut(source: Points, way: Sequence[Point], end: Point, replica: Replica) -> VolumePlan:
    """The stream of our own snapshot may be finished though a newer one is the goal by now."""
    begun = next((p for p in source.snapshots if p.guid == replica.incoming and p.order <= end.order), None)
    if begun is None:
        has_content = bool(replica.points.snapshots)
        whole = msgspec.structs.replace(replica, token=None, incoming=None, exists=has_content)
        rest = plan_volume(source, end.name, whole)
        return msgspec.structs.replace(rest, abandon=True)
    then = _steps(Since(name=begun.name), [p for p in way if p.order > begun.order])
    return VolumePlan(steps=(Step(snapshot=begun, token=replica.token), *then))


def _common(source: Points, replica: Replica) -> tuple[Point, list[Point]]:
    """The newest point that both have, as the source knows it, and the replica's snapshots after it."""
    here = {p.guid: p for p in (*source.bookmarks, *source.snapshots)}
    newer: list[Point] = []
    for point in reversed(replica.points.snapshots):
        if point.guid in here:
            return here[point.guid], newer
        newer.append(point)
    if not newer:
        raise Diverged("the volume there has no snapshot; delete it there, or start the replication afresh")
    raise Diverged(
        f"the volume there has snapshot {newer[0].name} and no snapshot in common with the source; "
        "delete it there, or start the replication afresh",
        snapshot=newer[0].name,
    )


def _check_untouched(replica: Replica, common: Point, newer: Sequence[Point]) -> None:
    """Diverged when somebody but us changed the replica, so that sending would destroy or mix what they made."""
    ours = {*replica.received, replica.last, common.guid}
    foreign = next((p for p in newer if p.guid not in ours), None)
    if foreign is not None:
        words = f"snapshot {foreign.name} was made on the replica after {common.name}, the last one in common"
        raise Diverged(f"{words}; delete it there, or start the replication afresh", snapshot=foreign.name)
    there = {p.guid for p in replica.points.snapshots}
    if replica.last is not None and replica.last not in there:
        words = f"the replica stands at {_name_there(replica, common)}: it was rolled back, or its newer snapshots were deleted"
        raise Diverged(f"{words}; start the replication afresh", snapshot=common.name)
    if replica.written_bytes:
        newest = replica.points.snapshots[-1].name
        words = f"the replica was written to after snapshot {newest} ({replica.written_bytes} bytes)"
        raise Diverged(f"{words}; roll it back to {newest} there, or start the replication afresh", snapshot=newest)


def _name_there(replica: Replica, point: Point) -> str:
    return next(p.name for p in replica.points.snapshots if p.guid == point.guid)


def _since(source: Points, common: Point) -> Since:
    is_snapshot = any(p.guid == common.guid for p in source.snapshots)
    return Since(name=common.name, is_bookmark=not is_snapshot)


def _steps(since: Since | None, way: Sequence[Point]) -> tuple[Step, ...]:
    steps = []
    for point in way:
        steps.append(Step(snapshot=point, since=since))
        since = Since(name=point.name)
    return tuple(steps)
