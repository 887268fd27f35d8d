"""What is told to whoever changes what he has not read as it is."""

import msgspec
import pytest

from horcrux.errors import Stale
from horcrux.if_match import check_match
from horcrux.store import Document


class Thing(msgspec.Struct, frozen=True):
    id: str


class Shown(msgspec.Struct, frozen=True):
    id: str
    revision: int


FOUND = Document("/hx/v1/thing/one", Thing("one"), 7, {})


@pytest.mark.parametrize("if_match", [None, 7])
async def test_without_if_match_and_with_the_revision_found_nothing_is_said(if_match: int | None) -> None:
    await check_match("thing one", FOUND, if_match, lambda: pytest.fail("nothing is to be shown"))


async def test_another_revision_is_stale_with_what_there_is_now() -> None:
    with pytest.raises(Stale, match="thing one has changed since you read it") as caught:
        await check_match("thing one", FOUND, 6, lambda: FOUND.value)
    assert caught.value.details == {"kind": "thing", "id": "one", "current": {"id": "one"}, "revision": 7}


async def test_the_revision_told_is_that_of_what_is_shown() -> None:
    async def show() -> Shown:
        return Shown("one", 8)

    with pytest.raises(Stale) as caught:
        await check_match("thing one", FOUND, 6, show)
    assert caught.value.details["revision"] == 8
