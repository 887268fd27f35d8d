import asyncio

import pytest

from agent.auth.service import AuthService
from agent.auth.tokens import MAX_TOKENS
from horcrux.auth.account import ApiToken
from horcrux.auth.permission import ROLE_SCOPES, Role, Scope
from horcrux.auth.principal import Ended, Principal
from horcrux.errors import Conflict, Forbidden, Invalid, InvalidFields, NotFound, Stale, Unauthenticated
from horcrux.store import Collection, Store
from tests.support.auth import PASSWORD, Heard, signing_in, with_admin
from tests.support.clock import FakeClock
from tests.support.waiting import eventually

NOW = 1_700_000_000


async def signed_in(service: AuthService, name: str, role: Role) -> Principal:
    await service.users.create(name, PASSWORD, role)
    return service.authenticate((await service.login(name, PASSWORD)).token)


async def test_a_token_speaks_for_its_owner_within_its_scopes(service: AuthService) -> None:
    ada = await signed_in(service, "ada", Role.OPERATOR)
    new = await service.tokens.create(ada, "ci", [Scope.VM_READ, Scope.VM_POWER], NOW + 60)
    principal = service.authenticate(new.bearer)
    assert principal.user == "ada"
    assert principal.is_api_token
    assert principal.scopes == {Scope.VM_READ, Scope.VM_POWER}
    assert principal.token_id == new.token.id
    whole = await service.tokens.create(ada, "all", None, None)
    assert service.authenticate(whole.bearer).scopes == ROLE_SCOPES[Role.OPERATOR]


async def test_demotion_of_the_owner_bites_and_promotion_gives_nothing(service: AuthService) -> None:
    ada = await signed_in(service, "ada", Role.OPERATOR)
    new = await service.tokens.create(ada, "ci", [Scope.VM_READ, Scope.VM_POWER], None)
    await service.users.change("ada", role=Role.VIEWER)
    assert service.authenticate(new.bearer).scopes == {Scope.VM_READ}
    await service.users.change("ada", role=Role.ADMIN)
    assert service.authenticate(new.bearer).scopes == {Scope.VM_READ, Scope.VM_POWER}


async def test_a_token_expires(service: AuthService, clock: FakeClock) -> None:
    ada = await signed_in(service, "ada", Role.VIEWER)
    new = await service.tokens.create(ada, "ci", None, NOW + 60)
    clock.advance(59)
    service.authenticate(new.bearer)
    clock.advance(1)
    with pytest.raises(Unauthenticated, match="expired"):
        service.authenticate(new.bearer)


async def test_another_secret_of_the_same_id_is_refused(service: AuthService) -> None:
    ada = await signed_in(service, "ada", Role.VIEWER)
    one = await service.tokens.create(ada, "one", None, None)
    two = await service.tokens.create(ada, "two", None, None)
    with pytest.raises(Unauthenticated):
        service.authenticate(f"hxp_{one.token.id}_{two.bearer.split('_', 2)[2]}")


async def test_disabling_the_owner_and_a_namesake_do_not_let_a_token_in(service: AuthService) -> None:
    ada = await signed_in(service, "ada", Role.VIEWER)
    new = await service.tokens.create(ada, "ci", None, None)
    await service.users.change("ada", disabled=True)
    with pytest.raises(Unauthenticated):
        service.authenticate(new.bearer)
    await service.users.change("ada", disabled=False)
    service.authenticate(new.bearer)
    await with_admin(service)
    await service.users.remove("ada")
    await service.users.create("ada", PASSWORD, Role.ADMIN)
    with pytest.raises(Unauthenticated):
        service.authenticate(new.bearer)


async def test_a_token_outlives_a_change_of_password(service: AuthService) -> None:
    ada = await signed_in(service, "ada", Role.VIEWER)
    new = await service.tokens.create(ada, "ci", None, None)
    endings: list[Ended] = []
    service.on_ended(endings.append)
    await service.change_password(ada, PASSWORD, "quite another one")
    principal = service.authenticate(new.bearer)
    assert [ended.concerns(principal) for ended in endings] == [False]
    assert [ended.concerns(ada) for ended in endings] == [True]


async def test_nobody_makes_a_token_that_may_more_than_he(service: AuthService) -> None:
    ada = await signed_in(service, "ada", Role.VIEWER)
    with pytest.raises(InvalidFields, match=r"scopes: more than you may yourself: vm\.power"):
        await service.tokens.create(ada, "ci", [Scope.VM_READ, Scope.VM_POWER], None)


async def test_a_token_makes_no_token_that_outdoes_it(service: AuthService) -> None:
    ada = await signed_in(service, "ada", Role.OPERATOR)
    parent = await service.tokens.create(ada, "parent", [Scope.SELF, Scope.VM_READ], NOW + 60)
    by_token = service.authenticate(parent.bearer)
    with pytest.raises(InvalidFields, match="scopes"):
        await service.tokens.create(by_token, "child", [Scope.VM_WRITE], None)
    with pytest.raises(InvalidFields, match="expires_at"):
        await service.tokens.create(by_token, "child", None, NOW + 61)
    child = await service.tokens.create(by_token, "child", None, None)
    assert child.token.expires_at == NOW + 60
    assert service.authenticate(child.bearer).scopes == {Scope.SELF, Scope.VM_READ}


@pytest.mark.parametrize(
    ("name", "expires_at", "field"), [("", None, "name"), (" ", None, "name"), ("ci", NOW, "expires_at")]
)
async def test_a_token_that_cannot_be_is_refused_by_field(
    service: AuthService, name: str, expires_at: int | None, field: str
) -> None:
    ada = await signed_in(service, "ada", Role.VIEWER)
    with pytest.raises(InvalidFields, match=field):
        await service.tokens.create(ada, name, None, expires_at)


async def test_names_and_numbers_of_tokens_are_bounded(service: AuthService) -> None:
    ada = await signed_in(service, "ada", Role.VIEWER)
    await service.tokens.create(ada, "ci 0", None, None)
    with pytest.raises(Conflict, match="ci 0"):
        await service.tokens.create(ada, "ci 0", None, None)
    for number in range(1, MAX_TOKENS):
        await service.tokens.create(ada, f"ci {number}", None, None)
    with pytest.raises(Conflict, match="delete one"):
        await service.tokens.create(ada, "one more", None, None)


async def test_others_tokens_are_seen_and_deleted_by_administrators_only(service: AuthService) -> None:
    ada = await signed_in(service, "ada", Role.OPERATOR)
    eve = await signed_in(service, "eve", Role.OPERATOR)
    root = service.authenticate(await with_admin(service))
    new = await service.tokens.create(ada, "ci", None, None)
    assert service.tokens.of(eve, None) == []
    for user in ("ada", "*", "nobody"):
        with pytest.raises(Forbidden):
            service.tokens.of(eve, user)
    with pytest.raises(NotFound):
        await service.tokens.remove(eve, new.token.id)
    assert [t.id for t in service.tokens.of(root, "*")] == [new.token.id]
    assert [t.id for t in service.tokens.of(root, "ada")] == [new.token.id]
    await service.tokens.remove(root, new.token.id)
    with pytest.raises(Unauthenticated):
        service.authenticate(new.bearer)
    with pytest.raises(NotFound):
        await service.tokens.remove(ada, new.token.id)


async def test_deleting_a_token_is_told_to_who_serves_it(service: AuthService, heard: Heard) -> None:
    ada = await signed_in(service, "ada", Role.VIEWER)
    new = await service.tokens.create(ada, "ci", None, None)
    waiting = asyncio.create_task(service.until_ended(service.authenticate(new.bearer)))
    await asyncio.sleep(0)
    endings: list[Ended] = []
    stop = service.on_ended(endings.append)
    await service.tokens.remove(ada, new.token.id)
    await asyncio.wait_for(waiting, 5)
    stop()
    other = await service.tokens.create(ada, "other", None, None)
    await service.tokens.remove(ada, other.token.id)
    assert endings == [Ended(user=ada.user, token_id=new.token.id)]
    told = [(kind, data) for kind, id_, data, _ in heard.events if id_ == new.token.id]
    assert len(told) == 2
    assert told[-1] == ("token", None)
    assert new.token.secret_sha256 not in repr(heard.events)


async def test_a_demotion_is_told_to_who_serves_an_api_token(service: AuthService) -> None:
    ada = await signed_in(service, "ada", Role.OPERATOR)
    new = await service.tokens.create(ada, "ci", None, None)
    waiting = asyncio.create_task(service.until_ended(service.authenticate(new.bearer)))
    await asyncio.sleep(0)
    await service.users.change("ada", role=Role.VIEWER)
    await asyncio.wait_for(waiting, 5)


async def test_an_api_token_is_no_session_to_log_out(service: AuthService) -> None:
    ada = await signed_in(service, "ada", Role.VIEWER)
    new = await service.tokens.create(ada, "ci", None, None)
    principal = service.authenticate(new.bearer)
    with pytest.raises(Invalid, match=new.token.id):
        await service.logout(principal)
    service.authenticate(new.bearer)


async def test_the_last_use_is_written_down_coarsely(service: AuthService, store: Store, clock: FakeClock) -> None:
    ada = await signed_in(service, "ada", Role.VIEWER)
    new = await service.tokens.create(ada, "ci", None, None)
    tokens = Collection(store, "token", ApiToken)

    async def written() -> tuple[int | None, int]:
        await service.tokens.write_usage()
        document = await tokens.get(new.token.id)
        return document.value.last_used_at, document.revision

    assert (await written())[0] is None
    service.authenticate(new.bearer)
    used_at, revision = await written()
    assert used_at == NOW
    clock.advance(599)
    service.authenticate(new.bearer)
    assert await written() == (NOW, revision)
    clock.advance(1)
    service.authenticate(new.bearer)
    assert (await written())[0] == NOW + 600
    assert service.tokens.of(ada, None)[0].last_used_at == NOW + 600


async def test_a_token_made_while_its_owner_is_removed_does_not_hold_and_is_swept_away(
    service: AuthService, store: Store
) -> None:
    await with_admin(service)
    ada = await signed_in(service, "ada", Role.VIEWER)
    outcome, _ = await asyncio.gather(
        service.tokens.create(ada, "ci", None, None), service.users.remove("ada"), return_exceptions=True
    )
    if isinstance(outcome, BaseException):
        assert isinstance(outcome, Stale | NotFound)
    else:
        with pytest.raises(Unauthenticated):
            service.authenticate(outcome.bearer)
    orphan = ApiToken(
        id="0" * 16, user=ada.user, user_uid="gone", name="x", scopes=(), secret_sha256="", created_at=NOW
    )
    tokens = Collection(store, "token", ApiToken)
    await tokens.create(orphan.id, orphan)
    await service.tokens.sweep()
    assert await tokens.list() == []


async def test_tokens_made_on_one_node_work_on_the_other(store: Store, clock: FakeClock) -> None:
    async with signing_in(store, clock) as one, signing_in(store, clock) as two:
        ada = await signed_in(one, "ada", Role.VIEWER)
        new = await one.tokens.create(ada, "ci", None, None)
        await eventually(lambda: len(two.tokens.of(ada, None)) == 1)
        assert two.authenticate(new.bearer).user == "ada"
        await one.tokens.remove(ada, new.token.id)
        await eventually(lambda: len(two.tokens.of(ada, None)) == 0)
        with pytest.raises(Unauthenticated):
            two.authenticate(new.bearer)
