import base64
import json
from collections.abc import Callable

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from horcrux.auth.account import SigningKey
from horcrux.auth.session import Claims, check_times, issue, read
from horcrux.errors import Unauthenticated
from horcrux.ids import UserName

NOW = 1_700_000_000
KEY = SigningKey(kid="k1", secret=b"a" * 32, created_at=NOW, signs_from=NOW)
OTHER = SigningKey(kid="k1", secret=b"b" * 32, created_at=NOW, signs_from=NOW)
CLAIMS = Claims(iss="horcrux", sub=UserName("ada"), jti="j1", iat=NOW, nbf=NOW, exp=NOW + 3600, gen="g1")


def find(kid: str) -> SigningKey | None:
    return {"k1": KEY}.get(kid)


def payload(**changes: object) -> dict[str, object]:
    whole: dict[str, object] = {
        "iss": "horcrux",
        "sub": "ada",
        "jti": "j1",
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 3600,
        "gen": "g1",
    }
    return {name: value for name, value in {**whole, **changes}.items() if value is not None}


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def unsigned(algorithm: str) -> str:
    return f"{part({'alg': algorithm, 'typ': 'JWT', 'kid': 'k1'})}.{part(payload())}."


def test_a_token_says_what_was_signed() -> None:
    assert read(issue(CLAIMS, KEY), find, "horcrux") == (CLAIMS, KEY)


FORGED: dict[str, Callable[[], str]] = {
    "alg none": lambda: unsigned("none"),
    "alg NONE": lambda: unsigned("NONE"),
    "alg none with our signature": lambda: unsigned("none") + issue(CLAIMS, KEY).rsplit(".", 1)[1],
    "HS256 with another key": lambda: issue(CLAIMS, OTHER),
    "HS512 with our key": lambda: jwt.encode(payload(), b"a" * 64, "HS512", headers={"kid": "k1"}),
    "HS384 with our key": lambda: jwt.encode(payload(), KEY.secret + b"a" * 16, "HS384", headers={"kid": "k1"}),
    "unknown kid": lambda: jwt.encode(payload(), KEY.secret, "HS256", headers={"kid": "k2"}),
    "no kid": lambda: jwt.encode(payload(), KEY.secret, "HS256"),
    "wrong issuer": lambda: jwt.encode(payload(iss="other"), KEY.secret, "HS256", headers={"kid": "k1"}),
    "no issuer": lambda: jwt.encode(payload(iss=None), KEY.secret, "HS256", headers={"kid": "k1"}),
    "no expiry": lambda: jwt.encode(payload(exp=None), KEY.secret, "HS256", headers={"kid": "k1"}),
    "no generation": lambda: jwt.encode(payload(gen=None), KEY.secret, "HS256", headers={"kid": "k1"}),
    "expiry as text": lambda: jwt.encode(payload(exp="soon"), KEY.secret, "HS256", headers={"kid": "k1"}),
    "payload changed": lambda: ".".join([(t := issue(CLAIMS, KEY).split("."))[0], part(payload(sub="root")), t[2]]),
    "very long": lambda: issue(CLAIMS, KEY) + "a" * 5000,
    "empty": lambda: "",
    "not ASCII": lambda: "é.é.é",
    "lone surrogate": lambda: "\udc80.\udc80.\udc80",
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
def test_a_forged_token_is_refused(forge: Callable[[], str]) -> None:
    with pytest.raises(Unauthenticated):
        read(forge(), find, "horcrux")


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_no_character_of_a_token_can_be_changed(place: int, by: int) -> None:
    token = issue(CLAIMS, KEY)
    place %= len(token) - 1  # of the last character two bits carry nothing
    changed = token[:place] + chr((ord(token[place]) + by) % 256) + token[place + 1 :]
    with pytest.raises(Unauthenticated):
        read(changed, find, "horcrux")


@given(st.text())
def test_any_text_is_refused_in_the_same_way(text: str) -> None:
    with pytest.raises(Unauthenticated):
        read(text, find, "horcrux")


@pytest.mark.parametrize(
    ("now", "holds"), [(NOW - 61, False), (NOW - 60, True), (NOW + 3599, True), (NOW + 3600, False)]
)
def test_a_token_holds_from_its_beginning_to_its_end(now: float, holds: bool) -> None:
    if holds:
        check_times(CLAIMS, now)
    else:
        with pytest.raises(Unauthenticated):
            check_times(CLAIMS, now)
