"""What sign-in has to know at every request, in memory: users, API tokens, signing keys, sessions ended early.

A change, of this node or another, is told to whoever listens as `Ended`, and to the event stream without its secrets.
"""

import asyncio
from collections.abc import Callable

from agent.auth.mirror import Mirror
from agent.auth.views import token_view, user_view
from agent.events import Publisher
from horcrux.auth.account import ApiToken, EndedSession, SigningKey, User
from horcrux.auth.permission import Scope
from horcrux.auth.principal import Ended
from horcrux.clock import Clock
from horcrux.store import Collection, Store

EndedCallback = Callable[[Ended], object]


class AuthState:
    """Collections for writing, mirrors for reading. `load` first, then `follow` on a task of the owner."""

    def __init__(self, store: Store, clock: Clock, publisher: Publisher) -> None:
        self.store = store
        self._publisher = publisher
        self._listeners: dict[object, EndedCallback] = {}
        self._is_loaded = False
        self.user_documents = Collection(store, "user", User)
        self.token_documents = Collection(store, "token", ApiToken)
        self.key_documents = Collection(store, "signing-key", SigningKey)
        self.ended_documents = Collection(store, "session", EndedSession)
        self.users = Mirror(self.user_documents, clock, self._user_changed)
        self.tokens = Mirror(self.token_documents, clock, self._token_changed)
        self.keys = Mirror(self.key_documents, clock, lambda _was, _now: None)
        self.ended = Mirror(self.ended_documents, clock, self._session_ended)

    async def load(self) -> None:
        """Everything is known as the store has it."""
        await asyncio.gather(self.users.load(), self.tokens.load(), self.keys.load(), self.ended.load())
        self._is_loaded = True

    async def follow(self) -> None:
        """Keeps up with the store until cancelled."""
        async with asyncio.TaskGroup() as group:
            for mirror in (self.users, self.tokens, self.keys, self.ended):
                group.create_task(mirror.follow(), name="auth-follow")

    def on_ended(self, callback: EndedCallback) -> Callable[[], None]:
        """`callback` hears every ending from now on, on the loop; it must neither block nor raise. Returns how to stop it."""
        key = object()
        self._listeners[key] = callback

        def stop() -> None:
            self._listeners.pop(key, None)

        return stop

    def _tell(self, ended: Ended) -> None:
        for callback in list(self._listeners.values()):
            callback(ended)

    def _user_changed(self, was: User | None, now: User | None) -> None:
        if not self._is_loaded:
            return
        name = now.name if now is not None else was.name if was is not None else ""
        self._publisher.publish("user", name, None if now is None else user_view(now), Scope.USER_ADMIN)
        if was is None:
            return
        if now is None or now.uid != was.uid or now.role is not was.role or (now.disabled and not was.disabled):
            self._tell(Ended(user=was.name, api_tokens=True))
        elif now.generation != was.generation:
            self._tell(Ended(user=was.name))

    def _token_changed(self, was: ApiToken | None, now: ApiToken | None) -> None:
        if not self._is_loaded:
            return
        if now is not None:
            self._publisher.publish("token", now.id, token_view(now), Scope.USER_ADMIN)
        elif was is not None:
            self._publisher.publish("token", was.id, None, Scope.USER_ADMIN)
            self._tell(Ended(user=was.user, token_id=was.id))

    def _session_ended(self, _was: EndedSession | None, now: EndedSession | None) -> None:
        if now is not None and self._is_loaded:
            self._tell(Ended(user=now.user, token_id=now.jti))
