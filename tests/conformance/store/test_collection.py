"""Typed documents over any backend."""

import msgspec
import pytest

from horcrux.errors import AlreadyExists, NotFound, Stale
from horcrux.store import Collection, Compare, Put, Store
from tests.support.store import put


class Vm(msgspec.Struct, frozen=True):
    name: str
    cores: int = 1


@pytest.fixture
def vms(store: Store) -> Collection[Vm]:
    return Collection(store, "vm", Vm)


async def test_a_document_is_created_once_read_listed_and_deleted(vms: Collection[Vm]) -> None:
    revision = await vms.create("b", Vm("b", 2))
    await vms.create("a", Vm("a"))
    document = await vms.get("b")
    assert (document.key, document.value, document.revision) == ("/hx/v1/vm/b", Vm("b", 2), revision)
    assert [d.value.name for d in await vms.list()] == ["a", "b"]
    with pytest.raises(AlreadyExists, match="vm b"):
        await vms.create("b", Vm("other"))
    await vms.delete("b")
    await vms.delete("b")
    assert await vms.find("b") is None
    with pytest.raises(NotFound, match="vm b"):
        await vms.get("b")


async def test_an_update_needs_the_revision_it_was_read_at(vms: Collection[Vm]) -> None:
    await vms.create("a", Vm("a"))
    read = await vms.get("a")
    revision = await vms.replace("a", read, Vm("a", 4))
    with pytest.raises(Stale, match="changed meanwhile"):
        await vms.replace("a", read, Vm("a", 8))
    with pytest.raises(Stale):
        await vms.delete("a", read.revision)
    assert (await vms.get("a")).value == Vm("a", 4)
    await vms.delete("a", revision)
    assert await vms.find("a") is None


async def test_a_field_of_the_future_survives_an_update_by_an_older_type(vms: Collection[Vm], store: Store) -> None:
    await put(store, vms.key("a"), b'{"schema":1,"name":"a","cores":2,"gpu":{"model":"x"},"tags":[1]}')
    read = await vms.get("a")
    await vms.replace("a", read, Vm("a", 3))
    entry = await store.get(vms.key("a"))
    assert entry is not None
    assert msgspec.json.decode(entry.value) == {
        "schema": 1, "name": "a", "cores": 3, "gpu": {"model": "x"}, "tags": [1],
    }  # fmt: skip


async def test_what_goes_along_goes_in_the_same_transaction(vms: Collection[Vm], store: Store) -> None:
    revision = await vms.create("a", Vm("a"), also=[Put("/hx/v1/name/a", b"{}")])
    sibling = await store.get("/hx/v1/name/a")
    assert sibling is not None
    assert sibling.mod == revision


async def test_what_a_document_rests_on_must_hold(vms: Collection[Vm], store: Store) -> None:
    rests_on = Compare("/hx/v1/pool/p", "mod", await put(store, "/hx/v1/pool/p"))
    await vms.create("a", Vm("a"), when=[rests_on])
    await put(store, "/hx/v1/pool/p", b'{"changed":1}')
    with pytest.raises(Stale, match="rests on"):
        await vms.create("b", Vm("b"), when=[rests_on])
    with pytest.raises(Stale):
        await vms.replace("a", await vms.get("a"), Vm("a", 2), when=[rests_on])
    with pytest.raises(Stale):
        await vms.delete("a", when=[rests_on])
    assert [d.value for d in await vms.list()] == [Vm("a")]
