"""Whom the peers' channel lets in, and as whom: mutual TLS 1.3, each side pinned to the exact certificate of the other.

`Trust` is all that the listener and the client know of it; a cluster's authority becomes a second implementation.
"""

import ssl
from collections.abc import Iterable
from typing import Protocol

from agent.peers.identity import PeerIdentity
from horcrux.errors import NotFound
from horcrux.replication.peer import PeerDocument, PeerName, fingerprint_of


class Trust(Protocol):
    def is_empty(self) -> bool:
        """Nobody is trusted: there is nothing to listen for."""
        ...

    def server_context(self) -> ssl.SSLContext:
        """Completes a handshake with trusted peers only."""
        ...

    def client_context(self, peer: PeerName) -> ssl.SSLContext:
        """Completes a handshake with that peer only; NotFound."""
        ...

    def peer_of(self, certificate_der: bytes) -> PeerDocument | None:
        """Who showed this certificate, if it is trusted now."""
        ...

    def find(self, peer: str) -> PeerDocument:
        """NotFound."""
        ...


class PinnedTrust:
    """The certificates that the operator entered. They are no authorities (`check_certificate`), so that a chain can only be
    one of them by itself."""

    def __init__(self, identity: PeerIdentity) -> None:
        self._identity = identity
        self._peers: dict[PeerName, PeerDocument] = {}
        self._by_print: dict[str, PeerDocument] = {}
        self._server: ssl.SSLContext | None = None
        self._clients: dict[PeerName, ssl.SSLContext] = {}

    def replace(self, peers: Iterable[PeerDocument]) -> None:
        """These are trusted from now on, and nobody else. Reads the key's files: call it on a thread."""
        known = {peer.name: peer for peer in peers}
        server = self._context(ssl.PROTOCOL_TLS_SERVER, known.values())
        clients = {name: self._context(ssl.PROTOCOL_TLS_CLIENT, [peer]) for name, peer in known.items()}
        self._peers, self._server, self._clients = known, server, clients
        self._by_print = {peer.fingerprint: peer for peer in known.values()}

    def is_empty(self) -> bool:
        return not self._peers

    def knows(self, fingerprint: str) -> bool:
        """Whether that certificate is trusted."""
        return fingerprint in self._by_print

    def peers(self) -> list[PeerDocument]:
        """By name."""
        return [self._peers[name] for name in sorted(self._peers)]

    def server_context(self) -> ssl.SSLContext:
        if self._server is None:
            raise RuntimeError("nothing has been trusted yet, not even nobody")
        return self._server

    def client_context(self, peer: PeerName) -> ssl.SSLContext:
        self.find(peer)
        return self._clients[peer]

    def peer_of(self, certificate_der: bytes) -> PeerDocument | None:
        return self._by_print.get(fingerprint_of(certificate_der))

    def find(self, peer: str) -> PeerDocument:
        known = self._peers.get(PeerName(peer))
        if known is None:
            raise NotFound(f"no peer {peer} is trusted here", kind="peer", id=peer)
        return known

    def _context(self, protocol: int, peers: Iterable[PeerDocument]) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.check_hostname = False  # the certificate itself is pinned, names and addresses may change
        context.verify_mode = ssl.CERT_REQUIRED
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self._identity.certificate_file, self._identity.key_file)
        for peer in peers:
            context.load_verify_locations(cadata=peer.certificate)
        return context
