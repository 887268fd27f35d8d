"""Scopes, and the roles that are made of them.

A scope is `<noun>.<verb>`; every route names one. A token carries a set of them, never more than its owner's role has.
"""

from collections.abc import Mapping
from enum import StrEnum


class Scope(StrEnum):
    VM_READ = "vm.read"
    VM_POWER = "vm.power"
    VM_CONSOLE = "vm.console"
    VM_WRITE = "vm.write"
    """Create, change, delete."""
    STORAGE_READ = "storage.read"
    STORAGE_WRITE = "storage.write"
    """Volumes and images."""
    POOL_WRITE = "pool.write"
    """Pools themselves, and how much may be provisioned in them."""
    PEER_WRITE = "peer.write"
    """Which other nodes are trusted."""
    TASK_READ = "task.read"
    TASK_CANCEL = "task.cancel"
    HOST_READ = "host.read"
    SELF = "self"
    """One's own session, password and tokens."""
    USER_ADMIN = "user.admin"


class Role(StrEnum):
    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"


_VIEWER = frozenset({Scope.VM_READ, Scope.STORAGE_READ, Scope.TASK_READ, Scope.HOST_READ, Scope.SELF})
_OPERATOR = _VIEWER | {
    Scope.VM_POWER,
    Scope.VM_CONSOLE,
    Scope.VM_WRITE,
    Scope.STORAGE_WRITE,
    Scope.TASK_CANCEL,
}

ROLE_SCOPES: Mapping[Role, frozenset[Scope]] = {
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _OPERATOR,
    Role.ADMIN: frozenset(Scope),
}
