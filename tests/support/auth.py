"""Sign-in for tests: the real service on the store in memory, with cheap hashing and a clock that tests move."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from argon2 import PasswordHasher

from agent.auth.service import AuthService, running
from agent.auth.sessions import AuthSettings
from agent.blocking import BlockingPool
from horcrux.auth.password import Passwords
from horcrux.auth.permission import Role, Scope
from horcrux.clock import Clock
from horcrux.store import Store

PASSWORD = "correct horse battery"


def cheap_passwords() -> Passwords:
    """Argon2id at its least, so that tests take no time."""
    return Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


class Heard:
    """A Publisher that keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, object | None, Scope]] = []

    def publish(self, kind: str, id_: str, data: object | None, scope: Scope) -> None:
        self.events.append((kind, id_, data, scope))


@asynccontextmanager
async def signing_in(
    store: Store,
    clock: Clock,
    *,
    heard: Heard | None = None,
    passwords: Passwords | None = None,
    settings: AuthSettings | None = None,
) -> AsyncIterator[AuthService]:
    """A started AuthService without users."""
    pool = BlockingPool("argon2", threads=2)
    service = AuthService(
        store,
        clock,
        heard or Heard(),
        pool=pool,
        settings=settings,
        entropy=os.urandom,
        passwords=passwords or cheap_passwords(),
    )
    try:
        async with running(service):
            yield service
    finally:
        await asyncio.to_thread(pool.close)


async def with_admin(service: AuthService, name: str = "root") -> str:
    """The token of a fresh administrator's session."""
    await service.users.create(name, PASSWORD, Role.ADMIN)
    return (await service.login(name, PASSWORD)).token
