"""Calls under /api/auth: signing in and out, the first start, users and API tokens."""

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from agent.api.auth_bodies import (
    CreatedToken,
    Login,
    Me,
    NewToken,
    NewUser,
    PasswordChange,
    Session,
    Setup,
    SetupNeeded,
    TokenQuery,
    UserChange,
)
from agent.auth.service import AuthService
from agent.auth.sessions import SignedIn
from agent.auth.views import TokenView, UserView, token_view, user_view
from agent.http.middleware.auth import SESSION_COOKIE
from agent.http.route import OPEN, AnyRoute, Call, Limit, Nothing, Reply, Route
from horcrux.auth.permission import Scope
from horcrux.paging import Page, page_of

B = TypeVar("B")


def routes(service: AuthService) -> Sequence[AnyRoute]:
    """The rows of this segment."""
    sessions, users, tokens = _SessionCalls(service), _UserCalls(service), _TokenCalls(service)
    return (
        *_session_routes(sessions),
        *_setup_routes(sessions),
        *_user_routes(users),
        *_user_change_routes(users),
        *_token_routes(tokens),
    )


class _SessionCalls:
    def __init__(self, service: AuthService) -> None:
        self._service = service

    async def login(self, call: Call[Login, Nothing]) -> Reply:
        signed_in = await self._service.login(call.body.username, call.body.password)
        return self._session(call, signed_in, call.body.cookie)

    async def logout(self, call: Call[Nothing, Nothing]) -> Reply:
        await self._service.logout(call.principal)
        return Reply(headers={"Set-Cookie": session_cookie("", 0, is_tls=call.raw.secure)})

    async def me(self, call: Call[Nothing, Nothing]) -> Me:
        principal = call.principal
        return Me(
            username=principal.user,
            role=principal.role,
            scopes=tuple(sorted(principal.scopes)),
            token_id=principal.token_id,
            is_api_token=principal.is_api_token,
            expires=None if principal.expires_at is None else int(principal.expires_at),
        )

    async def password(self, call: Call[PasswordChange, Nothing]) -> Reply:
        signed_in = await self._service.change_password(call.principal, call.body.current, call.body.new)
        return self._session(call, signed_in, call.body.cookie)

    async def setup_needed(self, call: Call[Nothing, Nothing]) -> SetupNeeded:
        return SetupNeeded(needed=self._service.is_setup_needed())

    async def setup(self, call: Call[Setup, Nothing]) -> Reply:
        signed_in = await self._service.setup(call.body.secret, call.body.username, call.body.password)
        return self._session(call, signed_in, call.body.cookie)

    def _session(self, call: Call[B, Nothing], signed_in: SignedIn, with_cookie: bool) -> Reply:
        body = Session(
            token=signed_in.token,
            username=signed_in.user.name,
            expires=signed_in.expires,
            role=signed_in.user.role,
        )
        headers = {"Cache-Control": "no-store"}
        if with_cookie:
            headers["Set-Cookie"] = session_cookie(signed_in.token, signed_in.lasts_s, is_tls=call.raw.secure)
        return Reply(body=body, headers=headers)


class _UserCalls:
    def __init__(self, service: AuthService) -> None:
        self._users = service.users

    async def all(self, call: Call[Nothing, Page]) -> Reply:
        views = sorted((user_view(user) for user in self._users.all()), key=lambda view: view.name)
        return Reply(body=page_of(views, call.query, lambda view: view.name))

    async def one(self, call: Call[Nothing, Nothing]) -> Reply:
        user, revision = await self._users.read(call.path["name"])
        return Reply(body=user_view(user), revision=revision)

    async def create(self, call: Call[NewUser, Nothing]) -> Reply:
        user, revision = await self._users.create(call.body.name, call.body.password, call.body.role)
        return Reply(body=user_view(user), revision=revision)

    async def change(self, call: Call[UserChange, Nothing]) -> Reply:
        user, revision = await self._users.change(
            call.path["name"],
            role=call.body.role,
            disabled=call.body.disabled,
            password=call.body.password,
            if_match=call.if_match,
        )
        return Reply(body=user_view(user), revision=revision)

    async def remove(self, call: Call[Nothing, Nothing]) -> None:
        await self._users.remove(call.path["name"], call.if_match)


class _TokenCalls:
    def __init__(self, service: AuthService) -> None:
        self._tokens = service.tokens

    async def all(self, call: Call[Nothing, TokenQuery]) -> Reply:
        tokens = self._tokens.of(call.principal, call.query.user)
        views = sorted((token_view(token) for token in tokens), key=lambda view: view.id)
        return Reply(body=page_of(views, call.query, lambda view: view.id))

    async def create(self, call: Call[NewToken, Nothing]) -> Reply:
        new = await self._tokens.create(call.principal, call.body.name, call.body.scopes, call.body.expires_at)
        shown = msgspec.structs.asdict(token_view(new.token))
        return Reply(body=CreatedToken(**shown, token=new.bearer), headers={"Cache-Control": "no-store"})

    async def remove(self, call: Call[Nothing, Nothing]) -> None:
        await self._tokens.remove(call.principal, call.path["id"])


def _session_routes(calls: _SessionCalls) -> Sequence[AnyRoute]:
    return (
        Route(
            "POST",
            "/api/auth/login",
            calls.login,
            scope=OPEN,
            body=Login,
            response=Session,
            summary="Sign in",
            audit="auth.login",
            shows_secret=True,
            limit=Limit.LOGIN,
        ),
        Route(
            "POST",
            "/api/auth/logout",
            calls.logout,
            scope=Scope.SELF,
            summary="End this session",
            audit="auth.logout",
        ),
        Route(
            "GET", "/api/auth/me", calls.me, scope=Scope.SELF, response=Me, summary="Who you are and what you may do"
        ),
        Route(
            "POST",
            "/api/auth/password",
            calls.password,
            scope=Scope.SELF,
            body=PasswordChange,
            response=Session,
            summary="Change your password",
            audit="auth.password",
            shows_secret=True,
            limit=Limit.LOGIN,
            description="Ends all your sessions; the answer holds a fresh one. API tokens go on.",
        ),
    )


def _setup_routes(calls: _SessionCalls) -> Sequence[AnyRoute]:
    return (
        Route(
            "GET",
            "/api/auth/setup",
            calls.setup_needed,
            scope=OPEN,
            response=SetupNeeded,
            summary="Whether the first administrator has still to be made",
        ),
        Route(
            "POST",
            "/api/auth/setup",
            calls.setup,
            scope=OPEN,
            body=Setup,
            response=Session,
            summary="Make the first administrator with the set-up link",
            audit="auth.setup",
            shows_secret=True,
            limit=Limit.LOGIN,
        ),
    )


def _user_routes(calls: _UserCalls) -> Sequence[AnyRoute]:
    return (
        Route(
            "GET",
            "/api/auth/users",
            calls.all,
            scope=Scope.USER_ADMIN,
            query=Page,
            response=list[UserView],
            summary="List users",
        ),
        Route(
            "POST",
            "/api/auth/users",
            calls.create,
            scope=Scope.USER_ADMIN,
            body=NewUser,
            response=UserView,
            status=201,
            summary="Create a user",
            audit="user.create",
        ),
        Route(
            "GET",
            "/api/auth/users/{name}",
            calls.one,
            scope=Scope.USER_ADMIN,
            response=UserView,
            summary="Show a user",
        ),
    )


def _user_change_routes(calls: _UserCalls) -> Sequence[AnyRoute]:
    return (
        Route(
            "PATCH",
            "/api/auth/users/{name}",
            calls.change,
            scope=Scope.USER_ADMIN,
            body=UserChange,
            response=UserView,
            summary="Change a user's role, password, or whether it may sign in",
            audit="user.update",
            description="Ends the user's sessions. The last administrator can be neither demoted nor disabled.",
        ),
        Route(
            "DELETE",
            "/api/auth/users/{name}",
            calls.remove,
            scope=Scope.USER_ADMIN,
            status=204,
            summary="Delete a user with its sessions and API tokens",
            audit="user.delete",
        ),
    )


def _token_routes(calls: _TokenCalls) -> Sequence[AnyRoute]:
    return (
        Route(
            "GET",
            "/api/auth/tokens",
            calls.all,
            scope=Scope.SELF,
            query=TokenQuery,
            response=list[TokenView],
            summary="List API tokens",
        ),
        Route(
            "POST",
            "/api/auth/tokens",
            calls.create,
            scope=Scope.SELF,
            body=NewToken,
            response=CreatedToken,
            status=201,
            summary="Create an API token",
            audit="token.create",
            shows_secret=True,
            description="It may no more than you, and ends no later than the token you came with. Its secret is shown once.",
        ),
        Route(
            "DELETE",
            "/api/auth/tokens/{id}",
            calls.remove,
            scope=Scope.SELF,
            status=204,
            summary="Delete an API token",
            audit="token.delete",
        ),
    )


def session_cookie(token: str, max_age_s: int, *, is_tls: bool) -> str:
    """A cookie that scripts cannot read and other sites cannot send (RFC 6265bis)."""
    secure = "; Secure" if is_tls else ""
    return f"{SESSION_COOKIE}={token}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}"
