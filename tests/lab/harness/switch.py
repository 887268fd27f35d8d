"""A learning switch between the guests: a Unix datagram socket for each of their cards, one datagram a frame.

QEMU speaks so since 7.2. No root, no tap device, no namespace. QEMU's multicast sockets give each guest its own frames back,
which breaks bridges and IPv6 duplicate address detection; this does not.
"""

import selectors
import socket
from collections import deque
from collections.abc import Iterator
from pathlib import Path

_BUFFER_BYTES = 4 << 20
_LONGEST_QUEUE = 1000
"""Frames that wait for a guest whose socket is full (Linux lets 10 datagrams wait there); beyond it they are lost."""

Port = tuple[int, int]
"""Segment and guest, segments from 0, guests from 1."""


class Switch:
    """Paths are relative to the run's folder, the keeper's working directory: a socket's path may have 107 bytes."""

    def __init__(self, guests: int, segments: int, selector: selectors.BaseSelector) -> None:
        self._guests = guests
        self._selector = selector
        self._sockets: dict[Port, socket.socket] = {}
        self._queues: dict[Port, deque[bytes]] = {}
        self._guest_of: dict[tuple[int, bytes], int] = {}
        self._cuts: set[tuple[int, int]] = set()
        for segment in range(segments):
            for guest in range(1, guests + 1):
                self._open((segment, guest))

    def _open(self, port: Port) -> None:
        segment, guest = port
        path = Path(f"n{guest}/sw{segment}")
        path.unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sock.setblocking(False)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
        sock.bind(str(path))
        self._sockets[port] = sock
        self._queues[port] = deque()
        self._selector.register(sock, selectors.EVENT_READ, lambda: self._take(port))

    def connect(self, guest: int) -> None:
        """The guest's cards, which its emulator has just made, are plugged in."""
        for segment, owner in self._sockets:
            if owner == guest:
                self._sockets[segment, guest].connect(f"n{guest}/nic{segment}")

    def cut(self, a: int, b: int) -> None:
        """Every frame between the two is dropped from now on."""
        self._cuts.add((min(a, b), max(a, b)))

    def heal(self) -> None:
        self._cuts.clear()

    def _take(self, port: Port) -> None:
        segment, guest = port
        if self._queues[port]:
            self._flush(port)
        for _ in range(64):
            try:
                frame = self._sockets[port].recv(1 << 17)
            except OSError:  # nothing more, or that guest is off
                return
            self._guest_of[segment, frame[6:12]] = guest
            for receiver in self._receivers(segment, guest, frame[:6]):
                queue = self._queues[segment, receiver]
                if len(queue) < _LONGEST_QUEUE:
                    queue.append(frame)
                    if len(queue) == 1:
                        self._flush((segment, receiver))

    def _receivers(self, segment: int, sender: int, destination: bytes) -> Iterator[int]:
        known = None if destination[0] & 1 else self._guest_of.get((segment, destination))
        for guest in (known,) if known else range(1, self._guests + 1):
            if guest != sender and (min(guest, sender), max(guest, sender)) not in self._cuts:
                yield guest

    def _flush(self, port: Port) -> None:
        queue, sock = self._queues[port], self._sockets[port]
        events = selectors.EVENT_READ
        try:
            while queue:
                sock.send(queue[0])
                queue.popleft()
        except BlockingIOError:
            events |= selectors.EVENT_WRITE
        except OSError:  # that guest is off
            queue.clear()
        self._selector.modify(sock, events, lambda: self._take(port))
