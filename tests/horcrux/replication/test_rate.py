import pytest
from hypothesis import given
from hypothesis import strategies as st

from horcrux.replication.rate import TokenBucket


@given(
    st.lists(st.tuples(st.integers(1, 1_000_000), st.floats(0, 3)), min_size=1, max_size=50), st.integers(1000, 10**7)
)
def test_over_any_time_no_more_goes_than_the_rate_and_a_quarter_second_allow(
    pieces: list[tuple[int, float]], rate: int
) -> None:
    now, sent = 0.0, 0
    bucket = TokenBucket(rate, now)
    for size, pause_s in pieces:
        now += pause_s
        now += bucket.take(size, now)
        sent += size
        assert sent <= rate * (now + 0.25) * (1 + 1e-9) + 1


def test_a_steady_stream_gets_the_whole_rate() -> None:
    now = 0.0
    bucket = TokenBucket(1_000_000, now)
    for _ in range(100):
        now += bucket.take(100_000, now)
    assert now == pytest.approx(10.0)


def test_a_piece_larger_than_the_rate_passes_at_last() -> None:
    bucket = TokenBucket(10.0, 0.0)
    assert bucket.take(1000, 0.0) == pytest.approx(100.0)
