from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horcrux.errors import InvalidFields
from horcrux.replication.schedule import (
    FIRST_RETRY_S,
    LAST_RETRY_S,
    check_schedule,
    next_run_at,
    next_tick,
    retry_delay_s,
)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def due(schedule: str, started: str | None, failures: int = 0, failed: str | None = None) -> float:
    return next_run_at(
        schedule,
        created_at=at("2026-01-01T00:00"),
        started_at=None if started is None else at(started),
        failed_at=None if failed is None else at(failed),
        failures=failures,
    )


def test_the_next_time_is_told_in_utc() -> None:
    assert next_tick("*/15 * * * *", at("2026-03-29T01:07")) == at("2026-03-29T01:15")
    assert next_tick("30 2 * * *", at("2026-03-29T00:00")) == at("2026-03-29T02:30"), "clocks change that night"


def test_the_first_run_comes_with_the_first_time_after_it_was_made() -> None:
    assert due("0 4 * * *", None) == at("2026-01-01T04:00")


def test_what_was_missed_is_due_once() -> None:
    missed = due("0 * * * *", "2026-01-01T01:00")
    assert missed == at("2026-01-01T02:00"), "long ago: due at once"
    assert due("0 * * * *", "2026-01-05T09:30") == at("2026-01-05T10:00"), "after that run, the next hour"


def test_a_failure_is_tried_again_soon_whatever_the_schedule_says() -> None:
    assert due("0 4 * * *", "2026-01-01T04:00", 1, "2026-01-01T04:10") == at("2026-01-01T04:10") + FIRST_RETRY_S
    assert due("* * * * *", "2026-01-01T04:00", 30, "2026-01-01T04:10") == at("2026-01-01T05:10")


@given(st.integers(1, 10_000))
def test_each_try_waits_at_least_as_long_as_the_one_before_and_never_for_ever(failures: int) -> None:
    assert FIRST_RETRY_S <= retry_delay_s(failures) <= retry_delay_s(failures + 1) <= LAST_RETRY_S


@given(st.floats(0, 4e9), st.sampled_from(["* * * * *", "*/7 3 * * 1-5", "0 0 1 * *", "15,45 */6 * * *"]))
def test_the_next_time_always_lies_ahead(now: float, schedule: str) -> None:
    assert next_tick(schedule, now) > now


@pytest.mark.parametrize(
    "text", ["", "* * * *", "* * * * * *", "60 * * * *", "0 0 31 2 *", "@daily", "x " * 5, "* " * 300]
)
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(InvalidFields, match="cron expression"):
        check_schedule(text, "schedule")


def test_blanks_do_not_matter() -> None:
    assert check_schedule(" */5  *  * * * ", "schedule") == "*/5 * * * *"
