import logging

import pytest

from agent.api.auth_bodies import CreatedToken, Login, NewUser, PasswordChange, Session, Setup, UserChange
from agent.auth.service import AuthService
from horcrux.auth.account import SigningKey, User
from horcrux.auth.permission import Role
from horcrux.errors import HorcruxError
from horcrux.store import Collection, Store
from tests.support.auth import Heard

PASSWORD = "a-very-secret-password"
SECRET = "a-very-secret-secret"


async def test_nothing_secret_gets_into_logs_errors_events_or_reprs(
    service: AuthService, store: Store, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[object] = []
    fragment = await service.first_start(None)
    assert fragment is not None
    secret = fragment.removeprefix("#setup=")
    signed_in = await service.setup(secret, "ada", PASSWORD)
    principal = service.authenticate(signed_in.token)
    new = await service.tokens.create(principal, "ci", None, None)
    seen += [signed_in, principal, new, new.token, service.users.all(), service.authenticate(new.bearer)]
    for attempt in (
        service.login("ada", PASSWORD + "!"),
        service.login(PASSWORD, "typed into the wrong field"),
        service.setup(secret, "eve", PASSWORD),
        service.change_password(principal, PASSWORD + "!", PASSWORD + "?"),
    ):
        with pytest.raises(HorcruxError) as caught:
            await attempt
        seen += [caught.value, caught.value.details]
    for forged in (signed_in.token + "x", new.bearer + "x"):
        with pytest.raises(HorcruxError) as caught:
            service.authenticate(forged)
        seen.append(caught.value)
    await service.logout(principal)
    user = await Collection(store, "user", User).get("ada")
    key = await Collection(store, "signing-key", SigningKey).get("k1")
    seen += [user.value, key.value]

    told = caplog.text + repr(seen) + " ".join(map(str, seen)) + repr(heard.events)
    assert "user=ada" in caplog.text
    for hidden in (
        PASSWORD, secret, signed_in.token, signed_in.token.rsplit(".", 1)[1], new.bearer, new.bearer.split("_", 2)[2],
        new.token.secret_sha256, user.value.password_hash, repr(key.value.secret),
    ):  # fmt: skip
        assert hidden not in told


@pytest.mark.parametrize(
    "body",
    [
        Login(username="ada", password=SECRET),
        Setup(secret=SECRET, username="ada", password=SECRET),
        PasswordChange(current=SECRET, new=SECRET),
        NewUser(name="ada", password=SECRET),
        UserChange(password=SECRET),
        Session(token=SECRET, username="ada", expires=0, role=Role.ADMIN),
        CreatedToken(
            id="1", user="ada", name="ci", scopes=(), created_at=0, expires_at=None, last_used_at=None, token=SECRET
        ),
    ],
    ids=lambda body: type(body).__name__,
)
def test_no_body_shows_its_secret(body: object) -> None:
    assert SECRET not in repr(body) + str(body)
