"""When a replication runs next.

A run that was missed (the node was off) is made up for once. One that failed is tried again after 30 s, 1, 2, … 60 minutes.
Cron expressions are read in UTC: no run is lost or doubled when clocks change.
"""

from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from horcrux.errors import invalid_field

FIRST_RETRY_S = 30.0
LAST_RETRY_S = 3600.0


def check_schedule(value: str, field: str) -> str:
    """`value` as a cron expression of five fields that comes true some day."""
    try:
        next(_ticks(value, datetime(2024, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration):
        words = "a cron expression of five fields (minute hour day month weekday), in UTC: */15 * * * *"
        raise invalid_field(field, words) from None
    return " ".join(value.split())


def _ticks(expression: str, after: datetime) -> CronSim:
    if len(expression.split()) != 5 or len(expression) > 200:
        raise CronSimError("five fields")
    return CronSim(expression, after)


def next_tick(schedule: str, after: float) -> float:
    """The first time after `after` (epoch seconds) that the checked expression names."""
    return next(CronSim(schedule, datetime.fromtimestamp(after, UTC))).timestamp()


def retry_delay_s(failures: int) -> float:
    """How long after the `failures`-th failure in a row (from 1) the next try is."""
    return float(min(FIRST_RETRY_S * 2 ** min(failures - 1, 20), LAST_RETRY_S))


def next_run_at(
    schedule: str, *, created_at: float, started_at: float | None, failed_at: float | None, failures: int
) -> float:
    """When it is due: may lie in the past, then it is due now, once."""
    if failures and failed_at is not None:
        return failed_at + retry_delay_s(failures)
    return next_tick(schedule, created_at if started_at is None else started_at)
