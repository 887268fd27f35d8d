"""API tokens as their owners hold them: `hxp_<id>_<secret>`. The prefix lets secret scanners find leaked ones."""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode

import msgspec

from horcrux.auth.account import ApiToken
from horcrux.errors import Unauthenticated
from horcrux.ids import Entropy

PREFIX = "hxp_"
SECRET_BYTES = 32
"""256 bits of chance: one SHA-256 is enough, there is nothing to guess."""
_FORM = re.compile(r"hxp_([0-9a-f]{16})_([A-Za-z0-9_-]{43})\Z")


class Secret(msgspec.Struct, frozen=True):
    """A new secret and its digest. The secret is shown once and kept nowhere."""

    text: str
    sha256: str

    def __repr__(self) -> str:
        return "Secret(...)"


def new_secret(entropy: Entropy) -> Secret:
    text = urlsafe_b64encode(entropy(SECRET_BYTES)).rstrip(b"=").decode()
    return Secret(text, digest(text))


def new_token_id(entropy: Entropy) -> str:
    return entropy(8).hex()


def bearer(token_id: str, secret: Secret) -> str:
    return f"{PREFIX}{token_id}_{secret.text}"


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def split(token: str) -> tuple[str, str]:
    """Id and secret of a bearer string; Unauthenticated when it is none of ours."""
    match = _FORM.match(token)
    if match is None:
        raise Unauthenticated("this API token is malformed: it reads hxp_<id>_<secret>")
    return match[1], match[2]


def matches(token: ApiToken, secret: str) -> bool:
    """Compared in constant time."""
    return hmac.compare_digest(token.secret_sha256, digest(secret))
