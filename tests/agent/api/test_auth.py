import asyncio
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie

import pytest

from agent.api.auth import session_cookie
from horcrux.auth.permission import Role
from tests.support.auth import PASSWORD
from tests.support.auth_http import SignInServer, sign_in_server


@pytest.fixture
async def server() -> AsyncIterator[SignInServer]:
    async with sign_in_server() as server:
        yield server


@pytest.fixture
async def admin(server: SignInServer) -> str:
    return await signed_in(server, "root", Role.ADMIN)


async def signed_in(server: SignInServer, name: str, role: Role) -> str:
    await server.service.users.create(name, PASSWORD, role)
    return (await server.service.login(name, PASSWORD)).token


async def test_signing_in_answers_as_documented(server: SignInServer) -> None:
    await server.service.users.create("admin", PASSWORD, Role.ADMIN)
    status, body, response = await server.call("POST", "/api/auth/login", {"username": "admin", "password": PASSWORD})
    assert status == 200
    assert isinstance(body, dict)
    assert body == {"token": body["token"], "username": "admin", "expires": 1_700_043_200, "role": "admin"}
    assert "Set-Cookie" not in response.headers
    assert response.headers["Cache-Control"] == "no-store"
    status, me, _ = await server.call("GET", "/api/auth/me", token=body["token"])
    assert status == 200
    assert isinstance(me, dict)
    assert (me["username"], me["role"], me["expires"]) == ("admin", "admin", 1_700_043_200)
    assert "user.admin" in me["scopes"]


async def test_a_wrong_password_is_401_and_audited(server: SignInServer) -> None:
    status, body, _ = await server.call("POST", "/api/auth/login", {"username": "admin", "password": PASSWORD})
    assert status == 401
    assert isinstance(body, dict)
    assert "user name or password is wrong" in body["error"]
    assert [(entry.action, entry.status) for entry in server.audit.entries] == [("auth.login", 401)]
    assert PASSWORD not in repr(server.audit.entries)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"username": "a"}, "password"),
        ({"username": 1, "password": "x"}, "username"),
        ({"username": "a", "password": "x", "colour": "red"}, "colour"),
        ({"username": "a", "password": "x" * 1025}, "password"),
    ],
)
async def test_a_body_that_cannot_be_right_names_its_field(
    server: SignInServer, body: dict[str, object], field: str
) -> None:
    status, answer, _ = await server.call("POST", "/api/auth/login", body)
    assert status == 400
    assert field in str(answer)


async def test_too_many_failures_are_429_with_retry_after(server: SignInServer, admin: str) -> None:
    wrong = {"username": "root", "password": "a wrong guess"}
    assert [(await server.call("POST", "/api/auth/login", wrong))[0] for _ in range(6)] == [401] * 5 + [429]
    _, _, response = await server.call("POST", "/api/auth/login", wrong)
    assert response.headers["Retry-After"] == "1"
    assert (await server.call("GET", "/api/auth/me", token=admin))[0] == 200


async def test_the_console_s_cookie_signs_in_and_is_cleared_by_logout(server: SignInServer, admin: str) -> None:
    _, body, response = await server.call(
        "POST", "/api/auth/login", {"username": "root", "password": PASSWORD, "cookie": True}
    )
    assert isinstance(body, dict)
    cookie = SimpleCookie(response.headers["Set-Cookie"])["horcrux_session"]
    assert cookie.value == body["token"]
    assert (cookie["path"], cookie["samesite"], cookie["httponly"], cookie["secure"]) == ("/", "Strict", True, "")
    assert cookie["max-age"] == "43200"
    sent = {"Cookie": f"horcrux_session={cookie.value}"}
    assert (await server.call("GET", "/api/auth/me", headers=sent))[0] == 200
    assert (await server.call("POST", "/api/auth/logout", headers=sent))[0] == 403
    own = {**sent, "Origin": server.url, "X-Horcrux-CSRF": "1"}
    status, _, response = await server.call("POST", "/api/auth/logout", headers=own)
    assert status == 200
    cleared = SimpleCookie(response.headers["Set-Cookie"])["horcrux_session"]
    assert (cleared.value, cleared["max-age"]) == ("", "0")
    assert (await server.call("GET", "/api/auth/me", headers=sent))[0] == 401
    assert (await server.call("GET", "/api/auth/me", token=admin))[0] == 200


async def test_logging_out_by_the_documented_call(server: SignInServer, admin: str) -> None:
    assert (await server.call("POST", "/api/auth/logout", token=admin))[0] == 200
    assert (await server.call("POST", "/api/auth/logout", token=admin))[0] == 401


async def test_changing_the_password_gives_a_fresh_token(server: SignInServer, admin: str) -> None:
    change = {"current": PASSWORD, "new": "quite another one"}
    status, body, _ = await server.call("POST", "/api/auth/password", change, token=admin)
    assert status == 200
    assert isinstance(body, dict)
    assert (await server.call("GET", "/api/auth/me", token=admin))[0] == 401
    assert (await server.call("GET", "/api/auth/me", token=body["token"]))[0] == 200


async def test_the_first_administrator_is_made_by_the_link(server: SignInServer) -> None:
    assert (await server.call("GET", "/api/auth/setup"))[1] == {"needed": True}
    fragment = await server.service.first_start(None)
    assert fragment is not None
    body = {"secret": fragment.removeprefix("#setup="), "username": "ada", "password": PASSWORD}
    status, refused, _ = await server.call("POST", "/api/auth/setup", {**body, "password": "short"})
    assert (status, "password" in str(refused)) == (400, True)
    status, answer, _ = await server.call("POST", "/api/auth/setup", body)
    assert status == 200
    assert isinstance(answer, dict)
    assert (answer["username"], answer["role"]) == ("ada", "admin")
    assert (await server.call("GET", "/api/auth/setup"))[1] == {"needed": False}
    status, refused, _ = await server.call("POST", "/api/auth/setup", {**body, "username": "eve"})
    assert (status, "restart the agent" in str(refused)) == (401, True)


async def test_users_are_made_shown_changed_and_deleted(server: SignInServer, admin: str) -> None:
    new = {"name": "ada", "password": PASSWORD, "role": "operator"}
    status, body, _ = await server.call("POST", "/api/auth/users", new, token=admin)
    assert status == 201
    shown = {
        "name": "ada", "role": "operator", "disabled": False,
        "created_at": 1_700_000_000, "password_changed_at": 1_700_000_000,
    }  # fmt: skip
    assert body == shown
    status, body, response = await server.call("GET", "/api/auth/users/ada", token=admin)
    assert (status, body) == (200, shown)
    etag = {"If-Match": response.headers["ETag"]}
    changed = {"role": "viewer", "disabled": True}
    assert (await server.call("PATCH", "/api/auth/users/ada", changed, token=admin, headers=etag))[0] == 200
    status, body, response = await server.call("PATCH", "/api/auth/users/ada", changed, token=admin, headers=etag)
    assert (status, "viewer" in str(body)) == (412, True)
    current = await server.call("GET", "/api/auth/users/ada", token=admin)
    assert response.headers["ETag"] == current[2].headers["ETag"]
    _, users, _ = await server.call("GET", "/api/auth/users?limit=1", token=admin)
    assert users == [{**shown, **changed}]
    _, users, _ = await server.call("GET", "/api/auth/users?after=ada", token=admin)
    assert isinstance(users, list)
    assert [user["name"] for user in users] == ["root"]
    _, users, _ = await server.call("GET", "/api/auth/users?fields=name", token=admin)
    assert users == [{"name": "ada"}, {"name": "root"}]
    for wrong in ("limit=0", "limit=10001", "fields=secret", "colour=blue"):
        assert (await server.call("GET", f"/api/auth/users?{wrong}", token=admin))[0] == 400
    assert (await server.call("POST", "/api/auth/users", new, token=admin))[0] == 409
    assert (await server.call("DELETE", "/api/auth/users/ada", token=admin))[0] == 204
    assert (await server.call("DELETE", "/api/auth/users/ada", token=admin))[0] == 404
    assert (await server.call("DELETE", "/api/auth/users/root", token=admin))[0] == 409


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "Ada", "password": PASSWORD}, "name"),
        ({"name": "ada", "password": "short"}, "password"),
        ({"name": "ada", "password": PASSWORD, "role": "king"}, "role"),
    ],
)
async def test_a_user_that_cannot_be_is_400_with_its_field(
    server: SignInServer, admin: str, body: dict[str, object], field: str
) -> None:
    status, answer, _ = await server.call("POST", "/api/auth/users", body, token=admin)
    assert status == 400
    assert field in str(answer)


async def test_tokens_are_made_once_shown_listed_and_deleted(server: SignInServer, admin: str) -> None:
    new = {"name": "ci", "scopes": ["vm.read", "self"], "expires_at": 1_700_000_100}
    status, made, _ = await server.call("POST", "/api/auth/tokens", new, token=admin)
    assert status == 201
    assert isinstance(made, dict)
    bearer = made.pop("token")
    _, listed, _ = await server.call("GET", "/api/auth/tokens", token=bearer)
    assert listed == [made]
    assert bearer.split("_", 2)[2] not in str(listed)
    ada = await signed_in(server, "ada", Role.VIEWER)
    assert (await server.call("GET", "/api/auth/tokens", token=ada))[1] == []
    assert (await server.call("GET", "/api/auth/tokens?user=root", token=ada))[0] == 403
    assert (await server.call("DELETE", f"/api/auth/tokens/{made['id']}", token=ada))[0] == 404
    assert (await server.call("DELETE", f"/api/auth/tokens/{made['id']}", token=bearer))[0] == 204
    assert (await server.call("GET", "/api/auth/me", token=bearer))[0] == 401


async def test_repeating_with_a_key_does_not_show_a_token_again(server: SignInServer, admin: str) -> None:
    key = {"Idempotency-Key": "once-and-only-once"}
    first, second = [
        await server.call("POST", "/api/auth/tokens", {"name": "ci"}, token=admin, headers=key) for _ in range(2)
    ]
    assert first[0] == 201
    assert "hxp_" in str(first[1])
    assert "hxp_" not in str(second[1])
    _, tokens, _ = await server.call("GET", "/api/auth/tokens", token=admin)
    assert isinstance(tokens, list)
    assert len(tokens) == 1


async def test_users_who_sign_in_at_once_all_get_in(server: SignInServer, admin: str) -> None:
    body = {"username": "root", "password": PASSWORD}
    answers = await asyncio.gather(*(server.call("POST", "/api/auth/login", body) for _ in range(10)))
    assert [status for status, _, _ in answers] == [200] * 10


@pytest.mark.parametrize(("is_tls", "ends_with"), [(True, "; Secure"), (False, "; SameSite=Strict")])
def test_over_tls_the_cookie_never_travels_in_the_clear(is_tls: bool, ends_with: str) -> None:
    assert session_cookie("t", 60, is_tls=is_tls).endswith(ends_with)
