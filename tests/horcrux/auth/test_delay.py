import pytest
from hypothesis import given
from hypothesis import strategies as st

from horcrux.auth.delay import FORGET_AFTER_S, FREE_FAILURES, MAX_ACCOUNTS, MAX_WAIT_S, SignInDelay, wait_after
from horcrux.errors import RateLimited


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_wait_doubles_up_to_half_a_minute() -> None:
    assert [wait_after(n) for n in range(12)] == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 30, 30]


@given(st.integers(0, 10**9))
def test_no_number_of_failures_locks_out_for_good(failures: int) -> None:
    assert 0 <= wait_after(failures) <= wait_after(failures + 1) <= MAX_WAIT_S


def test_the_sixth_try_waits_and_the_error_says_how_long() -> None:
    time = Time()
    delay = SignInDelay(time)
    for _ in range(FREE_FAILURES):
        delay.check("ada")
        delay.failed("ada")
    with pytest.raises(RateLimited) as caught:
        delay.check("ada")
    assert caught.value.retry_after_s == 1
    delay.check("bob")
    time.now = 1.0
    delay.check("ada")


def test_a_success_forgets_the_failures() -> None:
    delay = SignInDelay(Time())
    for _ in range(9):
        delay.failed("ada")
    delay.succeeded("ada")
    delay.check("ada")
    assert delay.failed("ada") == 1


def test_failures_long_ago_do_not_count() -> None:
    time = Time()
    delay = SignInDelay(time)
    for _ in range(9):
        delay.failed("ada")
    time.now = FORGET_AFTER_S + 1
    assert delay.failed("ada") == 1


def test_names_without_number_do_not_fill_the_memory() -> None:
    delay = SignInDelay(Time())
    for number in range(MAX_ACCOUNTS):
        delay.failed(f"user{number}")
    delay.failed("user0")
    delay.failed("one-more")
    assert delay.failed("user0") == 3
    assert delay.failed("user1") == 1
