"""Peers: other nodes whose certificate the operator has entered, each on both sides. Nothing else lets anybody in.

The certificate is the trust: it is compared as a whole, so neither names nor dates in it matter. What a cluster brings
later (an authority, renewal) replaces this trust and nothing that stands on it.
"""

import hashlib
from typing import NewType, Self
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from horcrux.errors import invalid_field

PeerName = NewType("PeerName", str)
MAX_CERTIFICATE_BYTES = 8192


class PeerDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Kind `peer` in the Store. `certificate` is PEM, normalised; `fingerprint` the SHA-256 of its DER, in hex."""

    name: PeerName
    url: str
    certificate: str
    fingerprint: str
    created_at: float


class NewPeer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the other node's `GET /api/peers/self` shows."""

    name: str
    url: str
    """`https://HOST:PORT` of its peers' port."""
    certificate: str


class PeerSelf(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator enters at the other node."""

    name: str
    address: str
    """Where this node's peers' port is; a wildcard there means any address of this host."""
    fingerprint: str
    certificate: str
    is_listening: bool
    """It listens as long as at least one peer is trusted."""


class PeerView(msgspec.Struct, frozen=True, kw_only=True):
    """`is_reachable` is None until it was tried."""

    name: str
    url: str
    fingerprint: str
    certificate: str
    created_at: int
    is_reachable: bool | None
    reason: str
    """Why it is not reachable."""
    last_seen_at: int | None
    revision: int

    @classmethod
    def of(cls, peer: PeerDocument, revision: int, seen: "PeerSeen") -> Self:
        return cls(
            name=peer.name,
            url=peer.url,
            fingerprint=peer.fingerprint,
            certificate=peer.certificate,
            created_at=int(peer.created_at),
            is_reachable=seen.is_reachable,
            reason=seen.reason,
            last_seen_at=None if seen.last_seen_at is None else int(seen.last_seen_at),
            revision=revision,
        )


class PeerSeen(msgspec.Struct, frozen=True, kw_only=True):
    is_reachable: bool | None = None
    reason: str = ""
    last_seen_at: float | None = None


def fingerprint_of(certificate_der: bytes) -> str:
    return hashlib.sha256(certificate_der).hexdigest()


def check_certificate(pem: str, field: str) -> tuple[str, str]:
    """The one certificate of `pem` anew, and its fingerprint. It is a node's own: not an authority's, which would let in
    whomever that signs for."""
    try:
        found = x509.load_pem_x509_certificates(pem.encode()) if len(pem) <= MAX_CERTIFICATE_BYTES else []
    except ValueError:
        found = []
    if len(found) != 1:
        raise invalid_field(field, "one certificate in PEM, as `horcrux peer show` prints it at the other node")
    certificate = found[0]
    try:
        is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        certificate.verify_directly_issued_by(certificate)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, InvalidSignature, ValueError, TypeError) as err:
        raise invalid_field(field, "a node's own certificate: self-signed, and marked as no authority") from err
    if is_authority:
        raise invalid_field(field, "a node's own certificate, not an authority's")
    return certificate.public_bytes(Encoding.PEM).decode(), fingerprint_of(certificate.public_bytes(Encoding.DER))


def check_peer_url(value: str, field: str) -> str:
    """`value` as `https://host:port`."""
    words = "https://HOST:PORT, the other node's peers' port"
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise invalid_field(field, words) from None
    has_more = parts.path not in {"", "/"} or parts.query or parts.fragment or parts.username or parts.password
    if (
        parts.scheme != "https"
        or not parts.hostname
        or not port
        or has_more
        or len(value) > 300
        or not value.isprintable()
    ):
        raise invalid_field(field, words)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}:{port}"
