"""Sign-in as the rest of the agent sees it: who is asking, signing in and out, the first start, and endings told at once.

start() -> mirrors loaded, a signing key exists -> followers and housekeeping run -> aclose()
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from agent.auth.first_start import VOID_LINK, SetupLink
from agent.auth.keys import SigningKeys
from agent.auth.sessions import AuthSettings, Sessions, SignedIn
from agent.auth.state import AuthState, EndedCallback
from agent.auth.tokens import ApiTokens
from agent.auth.turns import Turns
from agent.auth.users import Users
from agent.blocking import BlockingPool
from agent.events import Publisher
from horcrux.auth.delay import SignInDelay
from horcrux.auth.password import Passwords, check_password
from horcrux.auth.principal import Ended, Principal
from horcrux.clock import Clock
from horcrux.errors import AlreadyExists, HorcruxError, Invalid, Unauthenticated, Unavailable, invalid_field
from horcrux.ids import Entropy, check_user
from horcrux.store import Store

ADMIN = "admin"
WRONG = "user name or password is wrong, or the account is disabled"
"""One sentence for all three: it does not tell which names exist."""
TICK_S = 5.0
"""How late a console hears that its session has expired."""
SWEEP_EVERY_MINUTES = 10

log = logging.getLogger(__name__)


class AuthService:
    """Owns its tasks between `start` and `aclose`; `users` and `tokens` are its parts for the API, `keys` rotates."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        publisher: Publisher,
        *,
        pool: BlockingPool,
        settings: AuthSettings | None = None,
        entropy: Entropy = os.urandom,
        passwords: Passwords | None = None,
    ) -> None:
        settings = settings or AuthSettings()
        self._clock = clock
        self._pool = pool
        self._passwords = passwords or Passwords()
        self._state = AuthState(store, clock, publisher)
        self._sessions = Sessions(self._state, clock, entropy, settings)
        self.keys = SigningKeys(self._state, clock, entropy, settings)
        self._link = SetupLink(clock, entropy, settings.setup_ttl_s)
        self._delay = SignInDelay(clock.monotonic)
        self._turns = Turns()
        self._watched: dict[object, tuple[Principal, asyncio.Event]] = {}
        self._running: asyncio.Task[None] | None = None
        self.users = Users(self._state, clock, entropy, self._passwords, pool)
        self.tokens = ApiTokens(self._state, self._sessions, clock, entropy)

    async def start(self) -> None:
        """Tokens are checked from now on, and kept up with what other nodes do."""
        await self._state.load()
        await self.keys.turn()
        self._state.on_ended(self._wake_concerned)
        self._running = asyncio.get_running_loop().create_task(self._run(), name="auth")
        self._running.add_done_callback(_log_failure)

    async def aclose(self) -> None:
        """Its tasks have ended; idempotent."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.wait([running])
            if not running.cancelled() and (error := running.exception()) is not None:
                raise error

    def authenticate(self, token: str, now: float | None = None) -> Principal:
        """Whom a bearer string speaks for; Unauthenticated. Looks into memory only.

        Unavailable when endings are no longer heard of: better to let nobody in than somebody who was shut out.
        """
        if self._running is None or self._running.done():
            raise Unavailable("sign-in is not running: the agent is starting, stopping, or has to be restarted")
        return self._sessions.principal_of(token, self._clock.now() if now is None else now)

    def on_ended(self, callback: EndedCallback) -> Callable[[], None]:
        """`callback` hears of every session, token or user that ended, on any node; the result stops that.

        Expiry is not told, since everybody can see it coming (`Principal.expires_at`); `until_ended` covers it.
        """
        return self._state.on_ended(callback)

    async def until_ended(self, principal: Principal) -> None:
        """Returns once what `principal` came with has ended, expired, or may do something else than then."""
        key, woken = object(), asyncio.Event()
        self._watched[key] = (principal, woken)
        try:
            while self._sessions.holds(principal):
                woken.clear()
                await woken.wait()
        finally:
            del self._watched[key]

    async def login(self, username: str, password: str) -> SignedIn:
        """A new session; Unauthenticated with one sentence for every reason, RateLimited after failures."""
        async with self._turns.of(username):
            self._delay.check(username)
            document = await self.users.find(username) if _can_exist(username) else None
            known_hash = None if document is None else document.value.password_hash
            is_right = await self._pool.run(self._passwords.verify, known_hash, password)
            if document is None or not is_right or document.value.disabled:
                failures = self._delay.failed(username)
                # A password typed into the wrong field must not get into the log: only names that exist do.
                log.info("sign-in failed: user=%s in_a_row=%d", "(unknown)" if document is None else username, failures)
                raise Unauthenticated(WRONG)
            self._delay.succeeded(username)
            if known_hash is not None and self._passwords.is_outdated(known_hash):
                await self.users.refresh_hash(document, password)
        # The user as it was when the password was checked: a change since then has another generation and wins.
        return self._sessions.issue(document.value)

    async def logout(self, principal: Principal) -> None:
        """Exactly this session has ended."""
        await self._sessions.end(principal)

    async def change_password(self, principal: Principal, current: str, new: str) -> SignedIn:
        """The new password holds, all sessions have ended, and the answer is a fresh one."""
        check_password(new, "new")
        async with self._turns.of(principal.user):
            self._delay.check(principal.user)
            document = await self.users.find(principal.user)
            known_hash = None if document is None else document.value.password_hash
            if not await self._pool.run(self._passwords.verify, known_hash, current):
                self._delay.failed(principal.user)
                raise invalid_field("current", "is not your present password")
            self._delay.succeeded(principal.user)
            user = await self.users.set_password(principal.user, new, "new")
        return self._sessions.issue(user)

    async def first_start(self, admin_password: str | None) -> str | None:
        """Somebody can sign in: user `admin` with `admin_password`, or whoever opens the link with the fragment returned.

        None when there is nothing to do any more. Raises Invalid for a password that is too short.
        """
        if not self.is_setup_needed():
            return None
        if not admin_password:
            return self._link.open()
        try:
            await self.users.create_first_admin(ADMIN, admin_password)
        except AlreadyExists:
            return None  # another node was first
        except Invalid as error:
            raise Invalid(f"HORCRUX_ADMIN_PASSWORD cannot be used ({error}): set another and start again") from None
        log.info("first start: user=%s made from HORCRUX_ADMIN_PASSWORD", ADMIN)
        return None

    def is_setup_needed(self) -> bool:
        return len(self._state.users) == 0

    async def setup(self, secret: str, username: str, password: str) -> SignedIn:
        """The first administrator, signed in; Unauthenticated for a link that is void."""
        self._link.check(secret)
        try:
            user = await self.users.create_first_admin(username, password)
        except AlreadyExists as error:
            raise Unauthenticated(VOID_LINK) from error
        finally:
            if not self.is_setup_needed():
                self._link.close()
        log.info("first start: user=%s made by the set-up link", user.name)
        return self._sessions.issue(user)

    async def sweep(self) -> None:
        """Keys are turned, and what holds no more by age or without its owner is gone. Also done every ten minutes."""
        await self.keys.turn()
        await self._sessions.sweep()
        await self.tokens.sweep()

    def _wake_concerned(self, ended: Ended) -> None:
        for principal, woken in self._watched.values():
            if ended.concerns(principal):
                woken.set()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            # A fifth of a second of CPU that nobody has to wait for.
            group.create_task(self._pool.run(self._passwords.warm_up), name="auth-warm-up")
            group.create_task(self._state.follow(), name="auth-follow")
            group.create_task(self._notice_expiry(), name="auth-expiry")
            group.create_task(self._keep_house(), name="auth-housekeeping")

    async def _notice_expiry(self) -> None:
        """Apart from the housekeeping: a store that is slow to answer must not keep expired consoles open."""
        while True:
            await self._clock.sleep(TICK_S)
            for _, woken in self._watched.values():
                woken.set()

    async def _keep_house(self) -> None:
        minutes = 0
        while True:
            await self._clock.sleep(60)
            minutes += 1
            try:
                await self.tokens.write_usage()
                if minutes % SWEEP_EVERY_MINUTES == 0:
                    await self.sweep()
            except HorcruxError as error:  # a full disk, no quorum: nothing of it is urgent
                log.warning("sign-in housekeeping waits for the store: %s", error)


@asynccontextmanager
async def running(service: AuthService) -> AsyncIterator[AuthService]:
    """`service`, started; stopped afterwards."""
    await service.start()
    try:
        yield service
    finally:
        await service.aclose()


def _log_failure(running: asyncio.Task[None]) -> None:
    if not running.cancelled() and (error := running.exception()) is not None:
        log.critical("sign-in has stopped, nobody gets in until the agent is restarted", exc_info=error)


def _can_exist(username: str) -> bool:
    """False for what no user can be called; asking the store for it would be asking for another key."""
    try:
        check_user(username, "username")
    except Invalid:
        return False
    return True
