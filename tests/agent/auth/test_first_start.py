import asyncio

import pytest

from agent.auth.service import AuthService
from horcrux.auth.account import User
from horcrux.auth.permission import Role
from horcrux.errors import Invalid, InvalidFields, Unauthenticated
from horcrux.store import Collection, Store
from tests.support.auth import PASSWORD, signing_in, with_admin
from tests.support.clock import FakeClock


def secret_of(fragment: str | None) -> str:
    assert fragment is not None
    assert fragment.startswith("#setup=")
    return fragment.removeprefix("#setup=")


async def test_the_given_password_makes_the_administrator(service: AuthService) -> None:
    assert service.is_setup_needed()
    assert await service.first_start(PASSWORD) is None
    assert not service.is_setup_needed()
    signed_in = await service.login("admin", PASSWORD)
    assert signed_in.user.role is Role.ADMIN


async def test_a_given_password_that_is_too_short_stops_the_start_and_is_not_told(service: AuthService) -> None:
    with pytest.raises(Invalid, match=r"HORCRUX_ADMIN_PASSWORD .*at least 8 characters") as caught:
        await service.first_start("short-1")
    assert "short-1" not in str(caught.value)
    assert service.is_setup_needed()


async def test_later_starts_leave_the_users_alone(service: AuthService) -> None:
    await with_admin(service)
    assert await service.first_start("another password") is None
    assert await service.first_start("short") is None
    assert await service.first_start(None) is None
    assert [user.name for user in service.users.all()] == ["root"]


async def test_the_link_makes_one_administrator_once(service: AuthService) -> None:
    secret = secret_of(await service.first_start(None))
    signed_in = await service.setup(secret, "ada", PASSWORD)
    assert service.authenticate(signed_in.token).role is Role.ADMIN
    with pytest.raises(Unauthenticated, match="restart the agent"):
        await service.setup(secret, "eve", PASSWORD)
    assert [user.name for user in service.users.all()] == ["ada"]


async def test_two_who_use_the_link_at_once_make_one_administrator(service: AuthService) -> None:
    secret = secret_of(await service.first_start(None))
    outcomes = await asyncio.gather(
        service.setup(secret, "ada", PASSWORD), service.setup(secret, "eve", PASSWORD), return_exceptions=True
    )
    assert sum(isinstance(outcome, Unauthenticated) for outcome in outcomes) == 1
    assert len(service.users.all()) == 1


async def test_two_nodes_of_one_store_make_one_administrator(store: Store, clock: FakeClock) -> None:
    async with signing_in(store, clock) as one, signing_in(store, clock) as two:
        secret = secret_of(await two.first_start(None))
        outcomes = await asyncio.gather(
            one.first_start(PASSWORD), two.setup(secret, "eve", PASSWORD), return_exceptions=True
        )
        assert sum(isinstance(outcome, Unauthenticated) for outcome in outcomes) <= 1
        assert len(await Collection(store, "user", User).list()) == 1


async def test_the_link_expires(service: AuthService, clock: FakeClock) -> None:
    secret = secret_of(await service.first_start(None))
    clock.advance(900)
    with pytest.raises(Unauthenticated, match="restart the agent"):
        await service.setup(secret, "ada", PASSWORD)
    assert service.is_setup_needed()


async def test_a_wrong_secret_does_not_use_the_link_up(service: AuthService) -> None:
    secret = secret_of(await service.first_start(None))
    for wrong in ("", "wrong", secret[:-1], secret + "a"):
        with pytest.raises(Unauthenticated):
            await service.setup(wrong, "ada", PASSWORD)
    with pytest.raises(InvalidFields, match="password"):
        await service.setup(secret, "ada", "short")
    await service.setup(secret, "ada", PASSWORD)


async def test_without_a_link_no_secret_works(service: AuthService) -> None:
    with pytest.raises(Unauthenticated):
        await service.setup("", "ada", PASSWORD)


async def test_each_start_makes_a_new_link(store: Store, clock: FakeClock) -> None:
    async with signing_in(store, clock) as service:
        first = secret_of(await service.first_start(None))
    async with signing_in(store, clock) as service:
        second = secret_of(await service.first_start(None))
        with pytest.raises(Unauthenticated):
            await service.setup(first, "ada", PASSWORD)
        await service.setup(second, "ada", PASSWORD)


async def test_an_administrator_made_meanwhile_voids_the_link(service: AuthService) -> None:
    secret = secret_of(await service.first_start(None))
    await with_admin(service)
    with pytest.raises(Unauthenticated):
        await service.setup(secret, "ada", PASSWORD)
