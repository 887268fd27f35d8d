"""Every row of the route table, tried without a token, with each role's session, and with API tokens of a single right.

Only the fixture `node` knows how the server was made. No request can do harm: bodies hold a field that nobody knows, ids are of
nothing that exists.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path

import aiohttp
import msgspec
import pytest

from agent.http.route import AnyRoute, Nothing, Open
from horcrux.auth.permission import ROLE_SCOPES, Role, Scope
from tests.support.agent_process import PASSWORD
from tests.support.node import fake_node

_PARAMETER = re.compile(r"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}")
_ENDS_SESSIONS = frozenset({"auth.logout", "auth.password"})
"""After these calls the next one needs a new session."""


class Node:
    """A server that runs without rate limits, its route table, and a way to sign in as somebody of a role."""

    def __init__(
        self, client: aiohttp.ClientSession, routes: Sequence[AnyRoute], sign_in: Callable[[Role], Awaitable[str]]
    ) -> None:
        self.client = client
        self.routes = routes
        self.sign_in = sign_in

    async def status_of(self, route: AnyRoute, token: str | None) -> int:
        """What is answered to a request that is well-formed but for its content."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        body = None if route.body is Nothing or route.stream_body else {"no-such-field": 1}
        path = _PARAMETER.sub("no-such-thing", route.path)
        async with self.client.request(route.method, path, json=body, headers=headers) as response:
            return response.status

    async def statuses_as(self, role: Role) -> Mapping[str, tuple[AnyRoute, int]]:
        """Every route's status for a session of `role`."""
        found: dict[str, tuple[AnyRoute, int]] = {}
        token = await self.sign_in(role)
        for route in self.routes:
            found[name_of(route)] = (route, await self.status_of(route, token))
            if route.audit in _ENDS_SESSIONS:
                token = await self.sign_in(role)
        return found

    async def api_token(self, scopes: Collection[Scope]) -> str:
        body = {"name": "+".join(scopes), "scopes": list(scopes)}
        headers = {"Authorization": f"Bearer {await self.sign_in(Role.ADMIN)}"}
        async with self.client.post("/api/auth/tokens", json=body, headers=headers) as response:
            assert response.status == 201
            return str((await response.json())["token"])


def name_of(route: AnyRoute) -> str:
    return f"{route.method} {route.path}"


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with fake_node(tmp_path) as served, served.session() as client:
        for role in Role:
            if role is not Role.ADMIN:
                order = {"name": role.value, "password": PASSWORD, "role": role.value}
                async with client.post("/api/auth/users", json=order) as answer:
                    assert answer.status == 201, await answer.text()

        async def sign_in(role: Role) -> str:
            return await served.sign_in(role.value)

        async with aiohttp.ClientSession(served.url) as anonymous:
            yield Node(anonymous, served.node.routes, sign_in)


def wants_ticket(route: AnyRoute) -> bool:
    """Consoles' websockets are let in by a one-use ticket, whoever shows it (`tests/agent/console`)."""
    return route.websocket


def defects(found: Mapping[str, tuple[AnyRoute, int]], scopes: frozenset[Scope]) -> list[str]:
    """What is wrong with the answers to somebody who may `scopes`."""
    wrong = []
    for name, (route, status) in found.items():
        if wants_ticket(route):
            wrong += [f"{name} answered {status} without its ticket"] if status != 401 else []
            continue
        is_allowed = isinstance(route.scope, Open) or route.scope in scopes
        if status in {401, 429, 500} or (status == 403) == is_allowed:
            wrong.append(f"{name} answered {status} though it is {'allowed' if is_allowed else 'not allowed'}")
    return wrong


@pytest.mark.parametrize("token", [None, "nonsense", "hxp_0123456789abcdef_" + "x" * 43, "a.b.c"])
async def test_without_a_token_that_holds_only_open_routes_answer(node: Node, token: str | None) -> None:
    wrong = []
    for route in node.routes:
        status = await node.status_of(route, token)
        is_open = isinstance(route.scope, Open) and not wants_ticket(route)
        if (status == 401) == is_open or status in {403, 500}:
            wrong.append(f"{name_of(route)} answered {status}")
    assert wrong == []


@pytest.mark.parametrize("role", list(Role))
async def test_each_role_may_exactly_what_its_scopes_say(node: Node, role: Role) -> None:
    assert defects(await node.statuses_as(role), ROLE_SCOPES[role]) == []


async def test_an_api_token_may_exactly_what_its_scopes_say(node: Node) -> None:
    for scope in Scope:
        token = await node.api_token([scope])
        found = {name_of(route): (route, await node.status_of(route, token)) for route in node.routes}
        assert defects(found, frozenset({scope})) == [], f"with {scope} alone"


async def test_no_request_of_these_tests_changes_who_may_sign_in(node: Node) -> None:
    for role in Role:
        await node.statuses_as(role)
    assert all([await node.sign_in(role) for role in Role])


async def test_every_route_that_changes_something_is_audited(node: Node) -> None:
    assert [name_of(route) for route in node.routes if route.method != "GET" and not route.audit] == []


async def test_no_route_stands_twice_and_every_body_refuses_what_it_does_not_know(node: Node) -> None:
    names = [name_of(route) for route in node.routes]
    assert sorted(set(names)) == sorted(names)
    lax = [
        name_of(route)
        for route in node.routes
        if route.body is not Nothing
        and not route.stream_body
        and issubclass(route.body, msgspec.Struct)
        and not route.body.__struct_config__.forbid_unknown_fields
    ]
    assert lax == []
