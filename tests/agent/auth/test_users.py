import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.auth.service import AuthService
from cluster.store.memory import MemoryStore
from horcrux.auth.account import ApiToken, User
from horcrux.auth.permission import Role
from horcrux.errors import AlreadyExists, Conflict, HorcruxError, InvalidFields, NotFound, Stale
from horcrux.store import Collection, Store
from tests.support.auth import PASSWORD, signing_in, with_admin
from tests.support.clock import FakeClock


@pytest.mark.parametrize(
    ("name", "password", "field"),
    [("Ada", PASSWORD, "name"), ("", PASSWORD, "name"), ("a/b", PASSWORD, "name"), ("ada", "short", "password")],
)
async def test_a_user_that_cannot_be_is_refused_by_field(
    service: AuthService, name: str, password: str, field: str
) -> None:
    with pytest.raises(InvalidFields) as caught:
        await service.users.create(name, password, Role.VIEWER)
    assert [problem.field for problem in caught.value.problems] == [field]
    assert service.users.all() == []


async def test_a_name_is_given_once(service: AuthService) -> None:
    await service.users.create("ada", PASSWORD, Role.VIEWER)
    with pytest.raises(AlreadyExists):
        await service.users.create("ada", PASSWORD, Role.ADMIN)
    assert [user.role for user in service.users.all()] == [Role.VIEWER]


async def test_a_change_of_an_older_revision_is_refused_with_what_is_now(service: AuthService) -> None:
    _, revision = await service.users.create("ada", PASSWORD, Role.VIEWER)
    _, newer = await service.users.change("ada", role=Role.OPERATOR, if_match=revision)
    with pytest.raises(Stale) as caught:
        await service.users.change("ada", role=Role.VIEWER, if_match=revision)
    assert caught.value.details["current"] == {
        "name": "ada", "role": "operator", "disabled": False,
        "created_at": 1_700_000_000, "password_changed_at": 1_700_000_000,
    }  # fmt: skip
    with pytest.raises(Stale):
        await service.users.remove("ada", revision)
    await service.users.remove("ada", newer)


async def test_who_does_not_exist_is_not_found(service: AuthService) -> None:
    with pytest.raises(NotFound, match="nobody"):
        await service.users.change("nobody", disabled=True)
    with pytest.raises(NotFound, match="nobody"):
        await service.users.remove("nobody")
    with pytest.raises(NotFound, match="nobody"):
        await service.users.read("nobody")


async def test_the_last_administrator_stays(service: AuthService) -> None:
    await with_admin(service)
    await service.users.create("ada", PASSWORD, Role.OPERATOR)
    await service.users.create("off", PASSWORD, Role.ADMIN)
    await service.users.change("off", disabled=True)
    with pytest.raises(Conflict, match="last administrator"):
        await service.users.change("root", role=Role.VIEWER)
    with pytest.raises(Conflict, match="last administrator"):
        await service.users.change("root", disabled=True)
    with pytest.raises(Conflict, match="last administrator"):
        await service.users.remove("root")
    await service.users.change("off", disabled=False)
    await service.users.remove("root")
    with pytest.raises(Conflict, match="last administrator"):
        await service.users.remove("off")


@settings(deadline=None)
@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["demote", "disable", "remove", "password"])), max_size=8),
)
async def test_administrators_who_act_against_each_other_at_once_never_leave_none(
    admins: int, acts: list[tuple[int, str]]
) -> None:
    store, clock = MemoryStore(FakeClock()), FakeClock()
    async with signing_in(store, clock) as one, signing_in(store, clock) as two:
        for number in range(admins):
            await one.users.create(f"admin{number}", PASSWORD, Role.ADMIN)

        async def act(service: AuthService, name: str, kind: str) -> None:
            match kind:
                case "demote":
                    await service.users.change(name, role=Role.VIEWER)
                case "disable":
                    await service.users.change(name, disabled=True)
                case "password":
                    await service.users.change(name, password="quite another one")
                case _:
                    await service.users.remove(name)

        outcomes = await asyncio.gather(
            *(act((one, two)[i % 2], f"admin{who}", kind) for i, (who, kind) in enumerate(acts)), return_exceptions=True
        )
        assert all(o is None or isinstance(o, HorcruxError) for o in outcomes)
        left = [document.value for document in await Collection(store, "user", User).list()]
        assert any(user.is_acting_admin for user in left)


async def test_removing_a_user_removes_its_api_tokens(service: AuthService, store: Store) -> None:
    principal = service.authenticate(await with_admin(service))
    await service.users.create("next", PASSWORD, Role.ADMIN)
    for number in range(3):
        await service.tokens.create(principal, f"token {number}", None, None)
    await service.users.remove("root")
    assert await Collection(store, "token", ApiToken).list() == []


async def test_an_administrator_sets_a_forgotten_password_anew(service: AuthService) -> None:
    await service.users.create("ada", PASSWORD, Role.VIEWER)
    with pytest.raises(InvalidFields):
        await service.users.change("ada", password="short")
    await service.users.change("ada", password="quite another one")
    await service.login("ada", "quite another one")
