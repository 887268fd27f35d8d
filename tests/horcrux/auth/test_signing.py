import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horcrux.auth.account import SigningKey
from horcrux.auth.signing import (
    LEEWAY_S,
    PUBLISH_S,
    first_key,
    is_rotation_due,
    may_verify,
    newest,
    next_key,
    signing_key,
)
from horcrux.errors import Unavailable

NOW = 1_700_000_000


def chance(size: int) -> bytes:
    return b"x" * size


def retired(key: SigningKey, following: SigningKey) -> SigningKey:
    return msgspec.structs.replace(key, retired_at=following.signs_from)


def test_the_first_key_signs_at_once() -> None:
    key = first_key(NOW, chance)
    assert signing_key([key], NOW) == key


def test_a_new_key_signs_only_after_every_node_can_know_it() -> None:
    old = first_key(NOW, chance)
    new = next_key([old], NOW + 100, chance)
    assert signing_key([old, new], NOW + 100 + PUBLISH_S - 1) == old
    assert signing_key([old, new], NOW + 100 + PUBLISH_S) == new


def test_without_a_key_nothing_is_signed() -> None:
    with pytest.raises(Unavailable):
        signing_key([], NOW)


@given(life_s=st.integers(3600, 10**7), ttl_s=st.integers(60, 10**6), rotations=st.integers(1, 12), at=st.floats(0, 1))
def test_whatever_key_signs_a_token_verifies_it_until_the_token_ends(
    life_s: int, ttl_s: int, rotations: int, at: float
) -> None:
    keys = [first_key(NOW, chance)]
    for _ in range(rotations):
        last = keys[-1]
        due = last.signs_from + life_s - PUBLISH_S
        assert is_rotation_due(last, due, life_s)
        assert not is_rotation_due(last, due - 1, life_s)
        following = next_key(keys, due, chance)
        keys = [*keys[:-1], retired(last, following), following]
    signed_at = NOW + at * life_s * rotations
    key = signing_key(keys, signed_at)
    assert may_verify(key, signed_at + ttl_s, ttl_s)


def test_a_worn_out_key_verifies_nothing() -> None:
    old = first_key(NOW, chance)
    old = retired(old, next_key([old], NOW, chance))
    assert may_verify(old, NOW + PUBLISH_S + 100 + LEEWAY_S - 1, 100)
    assert not may_verify(old, NOW + PUBLISH_S + 100 + LEEWAY_S, 100)


def test_kids_count_on_also_beyond_nine() -> None:
    keys = [first_key(NOW, chance)]
    for _ in range(11):
        keys.append(next_key(keys, NOW, chance))
    latest = newest(keys)
    assert latest is not None
    assert latest.kid == "k12"


def test_a_key_shows_no_secret() -> None:
    assert "xx" not in repr(first_key(NOW, chance))
