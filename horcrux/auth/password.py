"""Passwords: what they may look like, and their Argon2id hashes (RFC 9106).

A hash costs about 0.1 s and 64 MiB by design: callers run `hash` and `verify` on a thread of their own.
"""

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from horcrux.errors import invalid_field

MIN_PASSWORD_CHARS = 8
MAX_PASSWORD_CHARS = 1024
"""Hashing time grows with the length; no person types more."""


def check_password(value: str, field: str) -> str:
    """`value`, when it may become a password; InvalidFields otherwise. The value is never part of the error."""
    if len(value) < MIN_PASSWORD_CHARS:
        raise invalid_field(field, f"at least {MIN_PASSWORD_CHARS} characters")
    if len(value) > MAX_PASSWORD_CHARS:
        raise invalid_field(field, f"at most {MAX_PASSWORD_CHARS} characters")
    return value


class Passwords:
    """Hashes and checks. Both block for as long as Argon2 is told to take."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        self._nobody: str | None = None

    def hash(self, password: str) -> str:
        """An encoded hash with its parameters and a fresh salt."""
        return self._hasher.hash(_normal(password))

    def verify(self, password_hash: str | None, password: str) -> bool:
        """True when `password` made the hash. None, for a user that does not exist, costs the same time and is False."""
        known = password_hash if password_hash is not None else self._hash_of_nobody()
        try:
            matches = self._hasher.verify(known, _normal(password))
        except (VerificationError, InvalidHashError):
            return False
        return matches and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """True when the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    def warm_up(self) -> None:
        """The hash that unknown users are checked against exists, so that the first of them is no slower."""
        self._hash_of_nobody()

    def _hash_of_nobody(self) -> str:
        if self._nobody is None:
            self._nobody = self._hasher.hash("the password of nobody")
        return self._nobody


def _normal(password: str) -> bytes:
    """One byte string for what looks the same however a keyboard composes it (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password[: MAX_PASSWORD_CHARS + 1]).encode("utf-8", "surrogatepass")
