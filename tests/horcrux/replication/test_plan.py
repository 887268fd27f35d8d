"""The plan of a run, by a model: two histories that share a past, and what sending does to the second."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horcrux.errors import Diverged
from horcrux.replication.plan import Replica, Step, VolumePlan, plan_volume
from horcrux.replication.points import Point, Points, Since, is_of, snapshot_name

GOAL = snapshot_name("r", 9)


def point(name: str, order: int, guid: str | None = None) -> Point:
    return Point(name=name, guid=guid or f"g{order}", order=order)


def points(*snapshots: Point, bookmarks: tuple[Point, ...] = ()) -> Points:
    return Points(snapshots=snapshots, bookmarks=bookmarks)


A, ONE, B, NINE = point("a", 1), point(snapshot_name("r", 1), 2), point("b", 3), point(GOAL, 4)


def there(*snapshots: Point, **values: object) -> Replica:
    replica = Replica(exists=True, points=points(*snapshots), received=tuple(p.guid for p in snapshots))
    return msgspec.structs.replace(replica, **values)


def sent(plan: VolumePlan) -> list[tuple[str | None, str]]:
    return [(step.since.name if step.since else None, step.snapshot.name) for step in plan.steps]


def test_where_nothing_is_the_oldest_goes_whole_and_the_rest_step_by_step() -> None:
    plan = plan_volume(points(A, ONE, B, NINE), GOAL, Replica())
    assert sent(plan) == [(None, "a"), ("a", "b"), ("b", GOAL)]
    assert (plan.abandon, plan.rollback_to) == (False, None)


def test_snapshots_of_other_replications_and_newer_ones_are_not_sent() -> None:
    other, later = point(snapshot_name("other", 3), 3), point("later", 9)
    assert sent(plan_volume(points(A, other, NINE, later), GOAL, Replica())) == [(None, "a"), ("a", GOAL)]


def test_from_the_newest_in_common_only_what_follows_goes() -> None:
    assert sent(plan_volume(points(A, ONE, B, NINE), GOAL, there(A, ONE, last="g2"))) == [(ONE.name, "b"), ("b", GOAL)]


def test_a_bookmark_is_as_good_as_the_snapshot_it_remembers() -> None:
    plan = plan_volume(points(NINE, bookmarks=(ONE,)), GOAL, there(ONE, last="g2"))
    assert plan.steps == (Step(snapshot=NINE, since=Since(name=ONE.name, is_bookmark=True)),)


def test_names_prove_nothing() -> None:
    with pytest.raises(Diverged, match="no snapshot in common") as caught:
        plan_volume(points(A, NINE), GOAL, there(point("a", 1, guid="another")))
    assert caught.value.details["snapshot"] == "a"


def test_what_has_arrived_is_not_sent_again() -> None:
    assert plan_volume(points(A, NINE), GOAL, there(A, NINE)) == VolumePlan()


def test_the_rest_of_a_cut_stream_goes_first() -> None:
    plan = plan_volume(points(A, B, NINE), GOAL, there(A, token="t", incoming="g3"))
    assert plan.steps[0] == Step(snapshot=B, token="t")
    assert sent(plan)[1:] == [("b", GOAL)]
    assert not plan.abandon


def test_a_cut_stream_of_what_is_gone_is_thrown_away() -> None:
    plan = plan_volume(points(A, NINE), GOAL, there(A, token="t", incoming="gone"))
    assert plan.abandon
    assert sent(plan) == [("a", GOAL)]
    whole = plan_volume(points(A, NINE), GOAL, Replica(exists=True, token="t", incoming="gone"))
    assert whole.abandon
    assert sent(whole) == [(None, "a"), ("a", GOAL)]


def test_a_source_that_went_back_rolls_its_replica_back() -> None:
    plan = plan_volume(points(A, NINE), GOAL, there(A, ONE, B, last="g3"))
    assert plan.rollback_to == "a"
    assert sent(plan) == [("a", GOAL)]


def test_a_snapshot_that_somebody_made_there_is_named_and_kept() -> None:
    theirs = point("theirs", 7, guid="x")
    with pytest.raises(Diverged, match="snapshot theirs was made on the replica after a"):
        plan_volume(points(A, NINE), GOAL, there(A, theirs, received=("g1",)))


def test_a_replica_that_was_rolled_back_there_is_an_error() -> None:
    with pytest.raises(Diverged, match="stands at a: it was rolled back"):
        plan_volume(points(A, NINE, bookmarks=(ONE,)), GOAL, there(A, last="g2"))


def test_a_replica_that_was_written_to_is_an_error() -> None:
    with pytest.raises(Diverged, match=r"written to after snapshot a \(512 bytes\)"):
        plan_volume(points(A, NINE), GOAL, there(A, written_bytes=512))


def test_a_volume_without_snapshots_is_not_taken_for_a_replica() -> None:
    with pytest.raises(Diverged, match="has no snapshot"):
        plan_volume(points(NINE), GOAL, Replica(exists=True))


@pytest.mark.parametrize(
    ("name", "is_ours"), [("hx-repl-a-1", True), ("hx-repl-a-b-1", False), ("hx-repl-a-", False), ("a-1", False)]
)
def test_a_replication_knows_its_own_snapshots_by_name(name: str, is_ours: bool) -> None:
    assert is_of("a", name) is is_ours


class Model:
    """A volume here and its replica: snapshots come and go, streams arrive or are cut, the source goes back."""

    def __init__(self) -> None:
        self.time = 0
        self.runs = 0
        self.here: list[Point] = []
        self.marks: list[Point] = []
        self.there: list[Point] = []
        self.received: list[str] = []
        self.last: str | None = None
        self.cut: str | None = None

    def snapshot(self, name: str | None = None) -> Point:
        self.time += 1
        made = point(name or f"s{self.time}", self.time)
        self.here.append(made)
        return made

    def delete(self, number: int) -> None:
        if self.here:
            self.here.pop(number % len(self.here))

    def go_back(self, number: int) -> None:
        users = [p for p in self.here if not p.name.startswith("hx-repl-")]
        if users:
            to = users[number % len(users)]
            self.here = [p for p in self.here if p.order <= to.order]
            self.marks = [p for p in self.marks if p.order <= to.order]

    def replica(self) -> Replica:
        is_there = bool(self.there) or self.cut is not None
        return Replica(
            exists=is_there,
            points=points(*self.there),
            token=None if self.cut is None else f"token of {self.cut}",
            incoming=self.cut,
            received=tuple(self.received),
            last=self.last,
        )

    def run(self, cut_at: int | None) -> bool:
        """Whether the peer has everything; a common point may have been lost for good."""
        self.runs += 1
        goal = self.snapshot(snapshot_name("r", self.runs))
        self.marks.append(goal)
        try:
            plan = plan_volume(points(*self.here, bookmarks=tuple(self.marks)), goal.name, self.replica())
        except Diverged:
            assert self.there
            assert not {p.guid for p in self.there} & {p.guid for p in (*self.here, *self.marks)}, "there was a way"
            return False
        self.perform(plan, cut_at)
        if cut_at is not None and cut_at < len(plan.steps):
            return False
        assert self.there[-1] == goal
        self.last = goal.guid
        self.marks = [p for p in self.marks if p == goal or not p.name.startswith("hx-repl-")]
        self.here = [p for p in self.here if not p.name.startswith("hx-repl-")]
        return True

    def perform(self, plan: VolumePlan, cut_at: int | None) -> None:
        if plan.abandon:
            self.cut = None
        if plan.rollback_to is not None:
            names = [p.name for p in self.there]
            self.there = self.there[: names.index(plan.rollback_to) + 1]
        for number, step in enumerate(plan.steps):
            assert step.snapshot in self.here, "only what is here can be sent"
            self.check_applies(step)
            if number == cut_at:
                self.cut = step.snapshot.guid
                return
            self.cut = None
            self.there.append(step.snapshot)
            self.received.append(step.snapshot.guid)

    def check_applies(self, step: Step) -> None:
        """A receiver takes it: it stands at what the stream begins with."""
        if step.token is not None:
            assert self.cut == step.snapshot.guid
            return
        assert self.cut is None
        if step.since is None:
            assert not self.there
        else:
            known = self.marks if step.since.is_bookmark else self.here
            (begin,) = [p for p in known if p.name == step.since.name]
            assert self.there[-1].guid == begin.guid


ACTS = st.one_of(
    st.tuples(st.just("snapshot"), st.just(0)),
    st.tuples(st.just("delete"), st.integers(0, 5)),
    st.tuples(st.just("go_back"), st.integers(0, 5)),
    st.tuples(st.just("run"), st.just(0)),
    st.tuples(st.just("cut"), st.integers(0, 2)),
)


@given(st.lists(ACTS, max_size=30))
def test_whatever_happens_a_run_either_applies_and_ends_at_the_goal_or_says_that_nothing_is_in_common(
    acts: list[tuple[str, int]],
) -> None:
    model = Model()
    for act, number in acts:
        match act:
            case "snapshot":
                model.snapshot()
            case "delete":
                model.delete(number)
            case "go_back":
                model.go_back(number)
            case "run":
                model.run(None)
            case "cut":
                model.run(number)
