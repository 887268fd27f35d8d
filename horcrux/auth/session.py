"""Session tokens: JWTs (RFC 7519), HS256 by our decision and never by the token's own header (RFC 8725, 3.1)."""

from collections.abc import Callable

import jwt
import msgspec

from horcrux.auth.account import SigningKey
from horcrux.auth.signing import LEEWAY_S
from horcrux.errors import Unauthenticated
from horcrux.ids import UserName

ALGORITHM = "HS256"
MAX_TOKEN_CHARS = 2048
"""Ours have about 350; longer ones are not worth decoding."""

SIGN_IN_AGAIN = "this token does not hold (any more): sign in again"
"""One sentence for every reason, so that an answer tells nothing about a forged token."""


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a session token says. Times are epoch seconds; `gen` is the user's generation at sign-in."""

    iss: str
    sub: UserName
    jti: str
    iat: int
    nbf: int
    exp: int
    gen: str


def issue(claims: Claims, key: SigningKey) -> str:
    """The signed token, with the key's `kid` in its header."""
    return jwt.encode(msgspec.to_builtins(claims), key.secret, ALGORITHM, headers={"kid": key.kid})


def read(token: str, find_key: Callable[[str], SigningKey | None], issuer: str) -> tuple[Claims, SigningKey]:
    """The claims and the key that signed them; raises Unauthenticated. Times are left to `check_times`, which has a clock."""
    if len(token) > MAX_TOKEN_CHARS:
        raise Unauthenticated(SIGN_IN_AGAIN)
    try:
        kid = jwt.get_unverified_header(token).get("kid")
        key = find_key(kid) if isinstance(kid, str) else None
        if key is None:
            raise Unauthenticated(SIGN_IN_AGAIN)
        # The three times are checked by check_times: PyJWT would ask the system's clock.
        payload = jwt.decode(
            token,
            key.secret,
            algorithms=[ALGORITHM],
            issuer=issuer,
            options={
                "require": ["iss", "sub", "jti", "iat", "nbf", "exp"],
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
        return msgspec.convert(payload, Claims), key
    except (jwt.PyJWTError, msgspec.ValidationError, ValueError) as error:
        raise Unauthenticated(SIGN_IN_AGAIN) from error


def check_times(claims: Claims, now: float) -> None:
    """Raises Unauthenticated unless `now` lies between `nbf` (with leeway for other nodes' clocks) and `exp`."""
    if not claims.nbf - LEEWAY_S <= now < claims.exp:
        raise Unauthenticated(SIGN_IN_AGAIN)
