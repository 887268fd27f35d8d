"""The first start: nobody can sign in yet, and no default password exists.

no user --(HORCRUX_ADMIN_PASSWORD)--> user `admin`
   '-----(none)--> one-use link, 15 min --(POST /api/auth/setup)--> first administrator
                        '-- used, expired, or another start --> void
"""

import hmac

from horcrux.auth.api_token import Secret, new_secret
from horcrux.auth.api_token import digest as sha256_of
from horcrux.clock import Clock
from horcrux.errors import Unauthenticated
from horcrux.ids import Entropy

VOID_LINK = "this set-up link was used or has expired: restart the agent for a new link"


class SetupLink:
    """The secret of the set-up link: held in memory, as a digest, for `ttl_s` of this life of the agent."""

    def __init__(self, clock: Clock, entropy: Entropy, ttl_s: int) -> None:
        self._clock = clock
        self._entropy = entropy
        self._ttl_s = ttl_s
        self._sha256: str | None = None
        self._until = 0.0

    def open(self) -> str:
        """The fragment `setup=<secret>` of a fresh link; an earlier one is void."""
        secret: Secret = new_secret(self._entropy)
        self._sha256 = secret.sha256
        self._until = self._clock.monotonic() + self._ttl_s
        return f"#setup={secret.text}"

    def check(self, secret: str) -> None:
        """Raises Unauthenticated unless `secret` is the one of the link and the link still holds."""
        given = sha256_of(secret)
        if self._sha256 is None or self._clock.monotonic() >= self._until:
            raise Unauthenticated(VOID_LINK)
        if not hmac.compare_digest(given, self._sha256):
            raise Unauthenticated(VOID_LINK)

    def close(self) -> None:
        """The link is void."""
        self._sha256 = None
