from typing import Literal

import pytest
from argon2 import PasswordHasher

from horcrux.auth.password import MAX_PASSWORD_CHARS, Passwords, check_password
from horcrux.errors import InvalidFields


class CountingHasher(PasswordHasher):
    """The real one, which counts how often it was made to work."""

    checks = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002  # the parent's name
        self.checks += 1
        return super().verify(hash, password)


def cheap() -> CountingHasher:
    return CountingHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.mark.parametrize("password", ["", "1234567", "x" * (MAX_PASSWORD_CHARS + 1)])
def test_too_short_and_too_long_passwords_name_their_field_and_not_themselves(password: str) -> None:
    with pytest.raises(InvalidFields) as caught:
        check_password(password, "new")
    assert caught.value.problems[0].field == "new"
    assert not password or password not in str(caught.value)


def test_only_the_password_itself_matches_its_hash() -> None:
    passwords = Passwords(cheap())
    hashed = passwords.hash("ten letters")
    assert passwords.verify(hashed, "ten letters")
    assert not passwords.verify(hashed, "ten Letters")
    assert not passwords.verify(hashed, "")
    assert "ten letters" not in hashed


def test_a_password_matches_however_its_letters_are_composed() -> None:
    passwords = Passwords(cheap())
    assert passwords.verify(passwords.hash("cafe\u0301 au lait"), "caf\u00e9 au lait")


def test_an_unknown_user_costs_one_check_like_a_known_one_and_never_matches() -> None:
    hasher = cheap()
    passwords = Passwords(hasher)
    passwords.warm_up()
    assert not passwords.verify(None, "the password of nobody")
    assert hasher.checks == 1
    passwords.verify(passwords.hash("ten letters"), "ten letters")
    assert hasher.checks == 2


def test_a_hash_of_other_parameters_is_outdated() -> None:
    old = Passwords(cheap())
    new = Passwords(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1))
    hashed = old.hash("ten letters")
    assert not old.is_outdated(hashed)
    assert new.is_outdated(hashed)
    assert new.verify(hashed, "ten letters")


def test_today_s_hash_is_argon2id() -> None:
    assert Passwords().hash("ten letters").startswith("$argon2id$")


def test_a_broken_hash_matches_nothing() -> None:
    assert not Passwords(cheap()).verify("$argon2id$broken", "ten letters")
