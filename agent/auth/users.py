"""Users: made, changed and removed by compare-and-swap, so that an administrator who can act always remains.

Two administrators who demote each other at the same moment: each transaction also compares the document of one *other*
acting administrator (the witness), so one of the two finds it changed, looks again, and is refused.
"""

from collections.abc import Callable, Sequence

import msgspec
from msgspec import UNSET, UnsetType

from agent.auth.state import AuthState
from agent.auth.views import user_view
from agent.blocking import BlockingPool
from horcrux.auth.account import User
from horcrux.auth.password import Passwords, check_password
from horcrux.auth.permission import Role
from horcrux.clock import Clock
from horcrux.errors import AlreadyExists, Busy, Conflict, NotFound, Stale
from horcrux.ids import Entropy, UserName, check_user, new_ulid
from horcrux.if_match import check_match
from horcrux.store import Compare, Delete, Document, Op, Put

ATTEMPTS = 20
"""Tries of a compare-and-swap against others that change the same users."""
MAX_TOKENS_GONE_AT_ONCE = 100
"""Tokens deleted in the user's own transaction; the sweep takes the rest, which hold no more without their owner."""
FIRST_ADMIN_KEY = "/hx/v1/setup/first-admin"
"""Written with the first user: since the last administrator cannot be removed, it stands for "there is a user"."""


class Users:
    def __init__(
        self, state: AuthState, clock: Clock, entropy: Entropy, passwords: Passwords, pool: BlockingPool
    ) -> None:
        self._state = state
        self._clock = clock
        self._entropy = entropy
        self._passwords = passwords
        self._pool = pool

    def all(self) -> Sequence[User]:
        """Every user, by name."""
        return sorted(self._state.users.values(), key=lambda user: user.name)

    async def find(self, name: str) -> Document[User] | None:
        """The user as the store has it now."""
        return await self._state.user_documents.find(name)

    async def read(self, name: str) -> tuple[User, int]:
        """The user and its revision; NotFound."""
        document = await self._read(name, None)
        return document.value, document.revision

    async def create(self, name: str, password: str, role: Role) -> tuple[User, int]:
        """The user and its revision; AlreadyExists, InvalidFields."""
        user = await self._new(name, password, role)
        revision = await self._state.user_documents.create(user.name, user)
        self._state.users.wrote(user.name, user, revision)
        return user, revision

    async def create_first_admin(self, name: str, password: str) -> User:
        """The first user of all; AlreadyExists when there is one already, also one made at this moment."""
        user = await self._new(name, password, Role.ADMIN)
        if await self._state.user_documents.list():
            raise AlreadyExists("there is an administrator already")
        marker = Put(FIRST_ADMIN_KEY, msgspec.json.encode({"schema": 1, "user": user.name}))
        try:
            revision = await self._state.user_documents.create(
                user.name, user, also=[marker], when=[Compare(FIRST_ADMIN_KEY, "create", 0)]
            )
        except Stale as error:
            raise AlreadyExists("there is an administrator already") from error
        self._state.users.wrote(user.name, user, revision)
        return user

    async def change(
        self,
        name: str,
        *,
        role: Role | UnsetType = UNSET,
        disabled: bool | UnsetType = UNSET,
        password: str | UnsetType = UNSET,
        if_match: int | None = None,
    ) -> tuple[User, int]:
        """The user as it is now. A new role or password and being disabled end all its sessions."""
        new_hash: str | UnsetType = UNSET
        if isinstance(password, str):
            new_hash = await self._hash(password, "password")

        def changed(user: User) -> User:
            after = msgspec.structs.replace(
                user,
                role=user.role if isinstance(role, UnsetType) else role,
                disabled=user.disabled if isinstance(disabled, UnsetType) else disabled,
            )
            if not isinstance(new_hash, UnsetType):
                after = self._with_password(after, new_hash)
            if after.role is not user.role or (after.disabled and not user.disabled):
                after = msgspec.structs.replace(after, generation=self._chance())
            return after

        return await self._replace(name, changed, if_match)

    async def set_password(self, name: str, password: str, field: str) -> User:
        """The new password holds and all sessions of the user have ended."""
        new_hash = await self._hash(password, field)
        user, _ = await self._replace(name, lambda user: self._with_password(user, new_hash), None)
        return user

    async def refresh_hash(self, document: Document[User], password: str) -> None:
        """The same password, hashed with today's parameters; sessions go on. A change in between wins."""
        user = msgspec.structs.replace(
            document.value, password_hash=await self._pool.run(self._passwords.hash, password)
        )
        try:
            revision = await self._state.user_documents.replace(user.name, document, user)
        except Stale:
            return  # whoever changed the user meanwhile was right; the next sign-in tries again
        self._state.users.wrote(user.name, user, revision)

    async def remove(self, name: str, if_match: int | None = None) -> None:
        """The user, its sessions and its API tokens have ended; NotFound, Conflict for the last administrator."""
        for _ in range(ATTEMPTS):
            document = await self._read(name, if_match)
            witness = await self._witness(document.value, None)
            tokens = [t.id for t in self._state.tokens.values() if t.user_uid == document.value.uid]
            gone: list[Op] = [Delete(self._state.token_documents.key(i)) for i in tokens[:MAX_TOKENS_GONE_AT_ONCE]]
            try:
                await self._state.user_documents.delete(name, document.revision, also=gone, when=witness)
            except Stale:
                continue
            self._state.users.removed(name, document.revision)
            return
        raise Busy(f"user {name} keeps changing: try again", kind="user", id=name)

    async def _replace(self, name: str, changed: Callable[[User], User], if_match: int | None) -> tuple[User, int]:
        for _ in range(ATTEMPTS):
            document = await self._read(name, if_match)
            after = changed(document.value)
            if after == document.value:
                return after, document.revision
            witness = await self._witness(document.value, after)
            try:
                revision = await self._state.user_documents.replace(name, document, after, when=witness)
            except Stale:
                continue
            self._state.users.wrote(name, after, revision)
            return after, revision
        raise Busy(f"user {name} keeps changing: try again", kind="user", id=name)

    async def _read(self, name: str, if_match: int | None) -> Document[User]:
        document = await self._state.user_documents.find(name)
        if document is None:
            raise NotFound(f"user {name} does not exist", kind="user", id=name)
        await check_match(f"user {name}", document, if_match, lambda: user_view(document.value))
        return document

    async def _witness(self, before: User, after: User | None) -> Sequence[Compare]:
        """What must stay as it is so that an administrator remains; Conflict when there is no other one."""
        if not before.is_acting_admin or (after is not None and after.is_acting_admin):
            return []
        for other in await self._state.user_documents.list():
            if other.value.is_acting_admin and other.value.name != before.name:
                return [Compare(other.key, "mod", other.revision)]
        raise Conflict(
            f"{before.name} is the last administrator who can sign in: make another one first",
            kind="user",
            id=before.name,
        )

    async def _new(self, name: str, password: str, role: Role) -> User:
        user_name: UserName = check_user(name, "name")
        password_hash = await self._hash(password, "password")
        now = int(self._clock.now())
        return User(
            name=user_name,
            uid=new_ulid(now, self._entropy),
            role=role,
            password_hash=password_hash,
            created_at=now,
            password_changed_at=now,
            generation=self._chance(),
        )

    async def _hash(self, password: str, field: str) -> str:
        return await self._pool.run(self._passwords.hash, check_password(password, field))

    def _with_password(self, user: User, password_hash: str) -> User:
        return msgspec.structs.replace(
            user,
            password_hash=password_hash,
            password_changed_at=int(self._clock.now()),
            generation=self._chance(),
        )

    def _chance(self) -> str:
        return self._entropy(8).hex()
