"""The certificate by which other nodes know this one: made at the first start, self-signed, its key never leaves the host.

Its dates say nothing, since it is compared as a whole: a node whose clock is wrong is still that node.
"""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.durable import write_whole
from horcrux.errors import HorcruxError, Invalid
from horcrux.ids import NodeId
from horcrux.replication.peer import check_certificate

_FROM = datetime(2000, 1, 1, tzinfo=UTC)
_UNTIL = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""No well-defined end (RFC 5280 section 4.1.2.5)."""


class PeerIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Where the key and the certificate lie, and what to show of them."""

    key_file: Path
    certificate_file: Path
    certificate: str
    fingerprint: str


def open_identity(folder: Path, node_id: NodeId) -> PeerIdentity:
    """This node's own, made when it is not there. Invalid when its files cannot be used. Blocks."""
    key_file, certificate_file = folder / "peer.key", folder / "peer.crt"
    try:
        key = _key(key_file)
        if not certificate_file.exists():
            write_whole(certificate_file, _certificate(key, node_id), 0o644)
        certificate, fingerprint = check_certificate(certificate_file.read_text(), str(certificate_file))
        if x509.load_pem_x509_certificate(certificate.encode()).public_key() != key.public_key():
            raise Invalid(
                f"{certificate_file} is not of the key {key_file}; remove it, and enter the new one at the peers"
            )
    except (OSError, ValueError, TypeError) as err:
        raise Invalid(f"this node's peer certificate in {folder} cannot be used: {err}") from err
    except HorcruxError as err:
        raise Invalid(f"this node's peer certificate cannot be used: {err}") from err
    return PeerIdentity(
        key_file=key_file, certificate_file=certificate_file, certificate=certificate, fingerprint=fingerprint
    )


def _key(file: Path) -> ec.EllipticCurvePrivateKey:
    if not file.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        write_whole(file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
        return key
    loaded = load_pem_private_key(file.read_bytes(), password=None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{file} holds no elliptic curve key")
    return loaded


def _certificate(key: ec.EllipticCurvePrivateKey, node_id: NodeId) -> bytes:
    """Both ends of a connection show it, so it is for servers and clients."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node_id)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(node_id)]), critical=False)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
