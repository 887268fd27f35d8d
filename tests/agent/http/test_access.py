"""Who may: tokens, cookies, scopes, limits; and what the audit keeps of it."""

import msgspec
import pytest

from agent.http.route import OPEN, AnyRoute, Call, Limit, Nothing, Route
from agent.http.settings import HttpSettings
from horcrux.auth.permission import Scope
from horcrux.errors import Unauthenticated
from tests.support.http import Served, serving


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    username: str
    password: str


async def me(call: Call[Nothing, Nothing]) -> str:
    return call.principal.user


async def login(call: Call[Login, Nothing]) -> None:
    raise Unauthenticated("wrong name or password")


ROUTES: list[AnyRoute] = [
    Route("GET", "/api/vms", me, scope=Scope.VM_READ, summary="List"),
    Route("POST", "/api/vms", me, scope=Scope.VM_WRITE, summary="New", audit="vm.create"),
    Route(
        "POST", "/api/backups", me, scope=Scope.VM_WRITE, summary="Backup", limit=Limit.BACKUP, audit="backup.create"
    ),
    Route(
        "POST", "/api/auth/login", login, scope=OPEN, summary="In", body=Login, limit=Limit.LOGIN, audit="auth.login"
    ),
    Route("GET", "/healthz", me, scope=Scope.VM_READ, summary="Up", limit=Limit.NONE),
]


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Bearer viewer", 200),
        ("bearer viewer", 200),
        ("Bearer nobody", 401),
        ("Bearer ", 401),
        ("Bearer", 401),
        ("viewer", 401),
        ("Basic dmlld2VyOg==", 401),
        ("Bearer viewer viewer", 401),
        ("Bearer v\xefewer", 401),
    ],
)
async def test_a_token_is_taken_as_bearer_only(header: str, status: int) -> None:
    async with serving(ROUTES) as s, s.client.get("/api/vms", headers={"Authorization": header}) as answer:
        assert answer.status == status
        assert ("WWW-Authenticate" in answer.headers) is (status == 401)


async def test_without_a_token_the_answer_is_401_in_the_documents_shape() -> None:
    async with serving(ROUTES) as s, s.client.get("/api/vms") as answer:
        assert answer.status == 401
        assert (await answer.json())["code"] == "unauthenticated"


async def test_a_lacking_scope_is_403_and_named() -> None:
    async with serving(ROUTES) as s, s.client.post("/api/vms", headers=s.as_("viewer")) as answer:
        assert answer.status == 403
        assert (await answer.json())["scope"] == "vm.write"


async def _by_cookie(s: Served, method: str, headers: dict[str, str]) -> int:
    headers = {"Cookie": "theme=dark; horcrux_session=admin", **headers}
    async with s.client.request(method, "/api/vms", headers=headers) as answer:
        return answer.status


async def test_a_session_cookie_reads_from_anywhere_but_acts_from_our_own_pages_only() -> None:
    async with serving(ROUTES) as s:
        own = s.server.url
        csrf = {"X-Horcrux-CSRF": "1"}
        assert await _by_cookie(s, "GET", {}) == 200
        assert await _by_cookie(s, "POST", {"Origin": own, **csrf}) == 200
        assert await _by_cookie(s, "POST", {}) == 403
        assert await _by_cookie(s, "POST", csrf) == 403
        assert await _by_cookie(s, "POST", {"Origin": own}) == 403
        assert await _by_cookie(s, "POST", {"Origin": "http://evil.example", **csrf}) == 403
        assert await _by_cookie(s, "POST", {"Origin": "null", **csrf}) == 403
        assert await _by_cookie(s, "POST", {"Origin": own + ".evil.example", **csrf}) == 403


async def test_a_bearer_token_needs_neither_origin_nor_csrf_header() -> None:
    async with serving(ROUTES) as s:
        headers = {**s.as_("admin"), "Origin": "http://evil.example", "Cookie": "horcrux_session=viewer"}
        async with s.client.post("/api/vms", headers=headers) as answer:
            assert await answer.json() == "admin"


async def test_the_hourly_window_of_a_token_moves() -> None:
    async with serving(ROUTES, settings=HttpSettings(requests_per_hour=3)) as s:

        async def ask(token: str = "viewer") -> tuple[int, str | None]:
            async with s.client.get("/api/vms", headers=s.as_(token)) as answer:
                return answer.status, answer.headers.get("RateLimit-Remaining")

        assert await ask() == (200, "2")
        s.clock.advance(1800)
        assert await ask() == (200, "1")
        assert await ask() == (200, "0")
        async with s.client.get("/api/vms", headers=s.as_("viewer")) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "1800")
            assert answer.headers["RateLimit-Limit"] == "3"
            assert answer.headers["RateLimit-Reset"] == "1800"
            assert (await answer.json())["code"] == "rate_limited"
        assert await ask("admin") == (200, "2")
        s.clock.advance(1800)
        assert await ask() == (200, "0")


async def test_backups_count_in_their_own_window_and_in_the_general_one() -> None:
    async with serving(ROUTES, settings=HttpSettings(requests_per_hour=4, backups_per_minute=2)) as s:

        async def ask(method: str, path: str) -> int:
            async with s.client.request(method, path, headers=s.as_("admin")) as answer:
                return answer.status

        assert [await ask("POST", "/api/backups") for _ in range(3)] == [200, 200, 429]
        assert [await ask("GET", "/api/vms") for _ in range(3)] == [200, 200, 429]
        s.clock.advance(60)
        assert await ask("POST", "/api/backups") == 429


async def test_log_ins_are_counted_by_address_and_a_refused_one_is_not_counted_again() -> None:
    async with serving(ROUTES, settings=HttpSettings(logins_per_minute=2)) as s:

        async def try_login() -> int:
            async with s.client.post("/api/auth/login", json={"username": "a", "password": "b"}) as answer:
                return answer.status

        assert [await try_login() for _ in range(4)] == [401, 401, 429, 429]
        s.clock.advance(60)
        assert await try_login() == 401


async def test_an_address_that_tries_tokens_is_slowed_down_but_its_good_token_works_on() -> None:
    async with serving(ROUTES, settings=HttpSettings(requests_per_hour=2)) as s:

        async def ask(token: str) -> int:
            async with s.client.get("/api/vms", headers=s.as_(token)) as answer:
                return answer.status

        assert [await ask(f"guess-{n}") for n in range(3)] == [401, 401, 429]
        assert await ask("viewer") == 200


async def test_forwarded_addresses_are_believed_from_configured_proxies_only() -> None:
    for proxies, seen in ((("127.0.0.0/8", "10.0.0.1"), "192.0.2.7"), ((), "127.0.0.1")):
        async with serving(ROUTES, settings=HttpSettings(trusted_proxies=proxies)) as s:
            headers = {**s.as_("admin"), "X-Forwarded-For": "203.0.113.1, 192.0.2.7, 10.0.0.1"}
            async with s.client.post("/api/vms", headers=headers):
                pass
            assert s.audit.entries[0].address == seen


async def test_what_is_limited_nowhere_is_counted_nowhere() -> None:
    async with serving(ROUTES, settings=HttpSettings(requests_per_hour=1)) as s:
        for _ in range(3):
            async with s.client.get("/healthz", headers=s.as_("viewer")) as answer:
                assert answer.status == 200
                assert "RateLimit-Limit" not in answer.headers


async def test_the_audit_keeps_what_was_done_and_what_was_refused() -> None:
    async with serving(ROUTES) as s:
        async with s.client.post("/api/vms", headers=s.as_("admin")):
            pass
        async with s.client.post("/api/vms", headers=s.as_("viewer")):
            pass
        async with s.client.post("/api/vms"):
            pass
        async with s.client.post("/api/auth/login", json={"username": "mallory", "password": "hunter2"}) as answer:
            request_id = answer.headers["X-Request-Id"]
        async with s.client.get("/api/vms", headers=s.as_("admin")):
            pass
    seen = [(e.user, e.action, e.status) for e in s.audit.entries]
    assert seen == [
        ("admin", "vm.create", 200),
        ("viewer", "vm.create", 403),
        ("", "vm.create", 401),
        ("mallory", "auth.login", 401),
    ]
    last = s.audit.entries[-1]
    assert (last.request_id, last.address, last.target) == (request_id, "127.0.0.1", "/api/auth/login")
    assert "hunter2" not in str(s.audit.entries)


async def test_what_a_stranger_sends_fills_no_audit() -> None:
    async with serving(ROUTES) as s, s.client.post("/api/auth/login", json={"x" * 50_000: 1}) as answer:
        assert answer.status == 400
    assert len(s.audit.entries[-1].details) <= 500
