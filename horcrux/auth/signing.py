"""Signing keys: which one signs now, which still verify, when the next is due.

created --(PUBLISH_S)--> signs --(life_s)--> retired --(session_ttl_s + LEEWAY_S)--> deleted
                                    '-> the next one is created PUBLISH_S before
"""

from collections.abc import Iterable

from horcrux.auth.account import SigningKey
from horcrux.errors import Unavailable
from horcrux.ids import Entropy

KEY_BYTES = 32
"""256 bits, as RFC 7518 section 3.2 asks of HS256."""
PUBLISH_S = 60
"""A new key is known this long before it signs, so that no node meets a token whose key it has not yet seen."""
LEEWAY_S = 60
"""Difference of clocks between nodes that is forgiven."""


def first_key(now: int, entropy: Entropy) -> SigningKey:
    return SigningKey(kid="k1", secret=entropy(KEY_BYTES), created_at=now, signs_from=now)


def next_key(keys: Iterable[SigningKey], now: int, entropy: Entropy) -> SigningKey:
    """The successor of the newest of `keys`. Its kid follows from theirs, so two nodes cannot both store one."""
    number = max(int(key.kid.removeprefix("k")) for key in keys) + 1
    return SigningKey(kid=f"k{number}", secret=entropy(KEY_BYTES), created_at=now, signs_from=now + PUBLISH_S)


def newest(keys: Iterable[SigningKey]) -> SigningKey | None:
    return max(keys, key=lambda key: int(key.kid.removeprefix("k")), default=None)


def signing_key(keys: Iterable[SigningKey], now: float) -> SigningKey:
    """The newest key that may sign at `now`; the first one when the clock stands before all of them."""
    known = list(keys)
    if not known:
        raise Unavailable("no key to sign sessions with yet: the agent is still starting")
    return newest([key for key in known if key.signs_from <= now]) or known[0]


def is_rotation_due(key: SigningKey, now: float, life_s: int) -> bool:
    """True when the newest key has signed for `life_s` less the time its successor needs to be known."""
    return now >= key.signs_from + life_s - PUBLISH_S


def may_verify(key: SigningKey, now: float, session_ttl_s: int) -> bool:
    """False once every token that `key` can have signed has ended."""
    return key.retired_at is None or now < key.retired_at + session_ttl_s + LEEWAY_S
