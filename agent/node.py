"""What makes this node itself: its id, kept in the state folder, and the one agent that may use that folder."""

import fcntl
import os
import socket
from pathlib import Path
from typing import Self

import msgspec

from agent.durable import write_whole
from horcrux.errors import Conflict, Invalid
from horcrux.ids import Entropy, NodeId, check_name, new_node_id


class Identity(msgspec.Struct, frozen=True):
    """`node.json`."""

    id: NodeId


class NodeState:
    """The state folder, held by this process alone until `close()`."""

    def __init__(self, folder: Path, lock: int, node_id: NodeId, name: str) -> None:
        self.folder = folder
        self.node_id = node_id
        self.name = name
        self._lock = lock

    @classmethod
    def open(cls, folder: Path, name: str, entropy: Entropy) -> Self:
        """The folder is there (0700) and ours. Conflict when another agent has it; Invalid when it cannot be used. Blocks."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as err:
            raise Invalid(f"the state folder {folder} cannot be used: {err.strerror}; set HORCRUX_STATE_DIR") from err
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            os.close(lock)
            raise Conflict(
                f"another agent runs on the state folder {folder}; stop it, or set HORCRUX_STATE_DIR and HORCRUX_LISTEN"
            ) from err
        try:
            node_name = check_name(name or socket.gethostname().partition(".")[0], "node_name")
            return cls(folder, lock, _identity(folder / "node.json", entropy).id, node_name)
        except BaseException:
            os.close(lock)
            raise

    def is_first_start_since_boot(self) -> bool:
        """True after the host has booted (and on the very first start), until `remember_boot`. Blocks."""
        seen = self.folder / "boot"
        return not seen.exists() or seen.read_text() != _boot_id()

    def remember_boot(self) -> None:
        """What is done once a boot has been done. Blocks."""
        write_whole(self.folder / "boot", _boot_id().encode(), 0o600)

    def close(self) -> None:
        os.close(self._lock)


def _identity(path: Path, entropy: Entropy) -> Identity:
    if not path.exists():
        identity = Identity(new_node_id(entropy))
        write_whole(path, msgspec.json.encode(identity), 0o600)
        return identity
    try:
        return msgspec.json.decode(path.read_bytes(), type=Identity)
    except (OSError, msgspec.DecodeError) as err:
        raise Invalid(f"{path} does not tell this node's id: {err}; restore it, its VMs are known by that id") from err


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
