import pytest

from agent.events import QUEUE_EVENTS, RING_S, EventBus
from horcrux.auth.permission import Scope
from horcrux.events import StreamEvent
from tests.support.clock import FakeClock


def everything(_scope: Scope) -> bool:
    return True


@pytest.fixture
def bus() -> EventBus:
    return EventBus("boot1", FakeClock())


async def all_of(bus: EventBus, last: str | None) -> list[StreamEvent]:
    with bus.listen(everything, last) as listener:
        events = []
        while (event := await listener.next(0)) is not None:
            events.append(event)
        return events


async def test_a_listener_gets_what_comes_after_it_listens_in_order(bus: EventBus) -> None:
    bus.publish("vm", "before", {}, Scope.VM_READ)
    with bus.listen(everything, None) as listener:
        bus.publish("vm", "a", {"status": "running"}, Scope.VM_READ)
        bus.publish("vm", "b", None, Scope.VM_READ)
        first, second = await listener.next(0), await listener.next(0)
    assert first is not None
    assert second is not None
    assert (first.id, first.data) == ("a", {"status": "running"})
    assert (second.id, second.data) == ("b", None)
    assert second.sequence == first.sequence + 1


async def test_nobody_is_told_what_he_may_not_read(bus: EventBus) -> None:
    with bus.listen(lambda scope: scope is Scope.TASK_READ, None) as listener:
        bus.publish("vm", "a", {}, Scope.VM_READ)
        bus.publish("task", "t", {}, Scope.TASK_READ)
        event = await listener.next(0)
        assert event is not None
        assert event.kind == "task"
        assert await listener.next(0) is None


async def test_who_comes_back_gets_what_was_missed_without_a_gap(bus: EventBus) -> None:
    for name in "abc":
        bus.publish("vm", name, {}, Scope.VM_READ)
    events = await all_of(bus, "boot1.1")
    assert [e.id for e in events] == ["b", "c"]
    assert await all_of(bus, events[-1].event_id) == []


@pytest.mark.parametrize(
    "last", ["boot0.1", "boot1.99", "rubbish", "boot1.x", "boot1.\u00b2", "boot1." + "1" * 5000, ""]
)
async def test_an_id_of_another_life_is_answered_by_reset(bus: EventBus, last: str) -> None:
    bus.publish("vm", "a", {}, Scope.VM_READ)
    events = await all_of(bus, last)
    assert [e.kind for e in events] == ["reset"]
    assert await all_of(bus, events[0].event_id) == []


async def test_what_fell_out_of_the_ring_is_told_as_reset() -> None:
    clock = FakeClock()
    bus = EventBus("boot1", clock)
    for name in "abc":
        bus.publish("vm", name, {}, Scope.VM_READ)
    clock.advance(RING_S + 1)
    bus.publish("vm", "d", {}, Scope.VM_READ)
    assert [e.kind for e in await all_of(bus, "boot1.1")] == ["reset"]
    assert [e.id for e in await all_of(bus, "boot1.3")] == ["d"]


async def test_a_slow_listener_is_told_to_list_again_and_then_follows(bus: EventBus) -> None:
    with bus.listen(everything, None) as listener:
        for i in range(QUEUE_EVENTS + 1):
            bus.publish("vm", f"v{i}", {}, Scope.VM_READ)
        bus.publish("vm", "last", {}, Scope.VM_READ)
        first, second = await listener.next(0), await listener.next(0)
        assert first is not None
        assert second is not None
        assert (first.kind, second.id) == ("reset", "last")


async def test_closing_ends_every_listener(bus: EventBus) -> None:
    with bus.listen(everything, None) as listener:
        bus.close_listeners()
        assert await listener.next(60) is None
        assert listener.is_closed()
