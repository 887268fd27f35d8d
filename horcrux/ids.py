"""Names and ids: what they may look like, and how new ones are made (randomness is handed in)."""

import re
from collections.abc import Callable
from typing import NewType

from horcrux.errors import invalid_field

VmId = NewType("VmId", str)
"""Chosen by the client (`vm-100`), unique in the cluster."""
NodeId = NewType("NodeId", str)
"""`n` and 8 hex digits, made once for a state folder; marks the domains, links and tables that are this node's."""
PoolId = NewType("PoolId", str)
TaskId = NewType("TaskId", str)
"""ULID, so that tasks sort by the time they were asked for."""
UserName = NewType("UserName", str)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
_USER = re.compile(r"[a-z0-9][a-z0-9._@-]{0,62}\Z")
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

Entropy = Callable[[int], bytes]
"""`os.urandom` in the agent, a seeded generator in tests."""


def check_name(value: str, field: str) -> str:
    """`value`, when it is 1 to 63 letters, digits, `.`, `_`, `-`, begins with a letter or digit, and holds no `..`."""
    if not _NAME.match(value) or ".." in value:
        raise invalid_field(
            field, "1 to 63 letters, digits, '.', '_' or '-', beginning with a letter or digit, without '..'"
        )
    return value


def check_user(value: str, field: str) -> UserName:
    """`value` as a user name: lower case, 1 to 63 characters."""
    if not _USER.match(value):
        raise invalid_field(
            field, "1 to 63 lower-case letters, digits, '.', '_', '@' or '-', beginning with a letter or digit"
        )
    return UserName(value)


def new_ulid(now_s: float, entropy: Entropy) -> str:
    """26 characters: 48 bits of milliseconds, 80 bits of chance (github.com/ulid/spec)."""
    number = (int(now_s * 1000) << 80) | int.from_bytes(entropy(10), "big")
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


def new_task_id(now_s: float, entropy: Entropy) -> TaskId:
    return TaskId(new_ulid(now_s, entropy))


def new_node_id(entropy: Entropy) -> NodeId:
    return NodeId("n" + entropy(4).hex())
