import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horcrux.auth.account import ApiToken
from horcrux.auth.api_token import bearer, digest, matches, new_secret, new_token_id, split
from horcrux.auth.permission import ROLE_SCOPES, Role, Scope
from horcrux.errors import Unauthenticated
from horcrux.ids import UserName


def token(scopes: tuple[Scope, ...], sha256: str = "") -> ApiToken:
    return ApiToken(
        id="0" * 16, user=UserName("ada"), user_uid="u", name="ci", scopes=scopes, secret_sha256=sha256, created_at=0
    )


@given(st.integers())
def test_every_bearer_string_splits_into_what_it_was_made_of(seed: int) -> None:
    chance = random.Random(seed).randbytes
    token_id, secret = new_token_id(chance), new_secret(chance)
    assert split(bearer(token_id, secret)) == (token_id, secret.text)
    assert matches(token((), secret.sha256), secret.text)


@given(st.text())
def test_other_text_is_no_api_token(text: str) -> None:
    for candidate in (text, "hxp_" + text, "hxp_0000000000000000_" + text[:42]):
        with pytest.raises(Unauthenticated):
            split(candidate)


def test_only_the_digest_is_kept_and_no_repr_shows_the_secret() -> None:
    secret = new_secret(lambda size: b"s" * size)
    kept = token((), secret.sha256)
    assert kept.secret_sha256 == digest(secret.text) != secret.text
    assert secret.text not in repr(secret)
    assert secret.sha256 not in repr(kept) + repr(secret)


@given(st.sets(st.sampled_from(list(Scope))), st.sampled_from(list(Role)))
def test_a_token_never_outdoes_its_owner(scopes: set[Scope], role: Role) -> None:
    may = token(tuple(scopes)).scopes_now(role)
    assert may == scopes & ROLE_SCOPES[role]
