"""That libvirt takes our pools, whatever it has a backend for, and that keys stay in it. Nothing is mounted or logged in to."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import libvirt
import pytest

from agent.storage.libvirt_pool import LibvirtPoolDriver
from agent.storage.libvirt_pools import LibvirtPools
from horcrux.errors import HorcruxError, HostLacks, Unavailable
from horcrux.ids import NodeId, PoolId
from horcrux.storage.pool import PoolDocument, PoolType
from horcrux.storage.pool_options import check_pool
from horcrux.storage.pool_xml import same_place

pytestmark = pytest.mark.libvirt

GOLDEN = Path(__file__).parents[2] / "horcrux" / "storage" / "golden"
KEY = b"AQBxMkRmAAAAABAAtmL4qXq0m0nQzjR0hLrY8w=="


@pytest.fixture
async def pools() -> AsyncIterator[LibvirtPools]:
    pools = LibvirtPools("qemu:///system", NodeId("n" + secrets.token_hex(4)), "test-libvirt")
    yield pools
    await pools.close()


def document(storage_type: PoolType, target: str, **options: str) -> PoolDocument:
    kept, checked = check_pool(storage_type, target, options)
    return PoolDocument(
        id=PoolId("p"),
        name="P",
        storage_type=storage_type,
        node=NodeId("n0"),
        target=kept,
        options=checked,
        created_at=1.0,
    )


def ask(question: Callable[[libvirt.virConnect], str]) -> str:
    connection = libvirt.open("qemu:///system")
    try:
        return question(connection)
    finally:
        connection.close()


def take(xml: str) -> str:
    """What libvirt made of the pool, which is gone again; its words when it has no backend for it."""

    def define(connection: libvirt.virConnect) -> str:
        try:
            pool = connection.storagePoolDefineXML(xml, libvirt.VIR_STORAGE_POOL_DEFINE_VALIDATE)
        except libvirt.libvirtError as err:
            return str(err)
        described: str = pool.XMLDesc(0)
        pool.undefine()
        return described

    return ask(define)


@pytest.mark.parametrize("name", ["dir", "nfs", "nfs-ipv6", "iscsi", "iscsi-with-a-user", "rbd", "rbd-without-a-user"])
async def test_libvirt_takes_the_golden_pool_as_valid_and_keeps_where_it_leads(name: str) -> None:
    xml = await asyncio.to_thread((GOLDEN / f"{name}.xml").read_text)
    own = xml.replace(">hx-n0123abcd-fast<", f">hx-test-{secrets.token_hex(4)}<")
    answer = await asyncio.to_thread(take, own)
    # a pool that is not valid is refused with other words, before libvirt looks for the backend
    assert "missing backend for pool type" in answer or same_place(own, answer)


async def test_a_backend_that_is_not_installed_is_named_with_its_package(pools: LibvirtPools) -> None:
    rbd = document(PoolType.RBD, "vms", monitors="192.0.2.1")
    answer = await asyncio.to_thread(take, await asyncio.to_thread((GOLDEN / "rbd.xml").read_text))
    if "missing backend" not in answer:
        pytest.skip("this host's libvirt has everything that Ceph needs")
    with pytest.raises(HostLacks, match="libvirt-daemon-driver-storage-rbd"):
        await pools.open(rbd, "")


async def test_a_key_goes_to_libvirt_and_never_into_what_it_tells(pools: LibvirtPools, tmp_path: Path) -> None:
    file = tmp_path / "key"
    await asyncio.to_thread(file.write_bytes, KEY + b"\n")
    rbd = document(PoolType.RBD, "vms", monitors="192.0.2.1", user="horcrux", key_file=str(file))
    with pytest.raises(HorcruxError) as refused:  # no Ceph answers there
        await pools.open(rbd, "")
    assert KEY.decode() not in str(refused.value)

    def told(connection: libvirt.virConnect) -> str:
        return "".join(s.XMLDesc(0) for s in connection.listAllSecrets(0) if s.usageID() == pools.name_of(rbd))

    described = await asyncio.to_thread(ask, told)
    assert "private='yes'" in described
    assert "ephemeral='yes'" in described
    await pools.remove(rbd)
    assert await asyncio.to_thread(ask, told) == ""


@pytest.mark.parametrize(("content", "why"), [(None, "cannot be read"), (b"not base64!", "base64")])
async def test_a_key_file_that_is_none_is_told_by_its_name_alone(
    pools: LibvirtPools, tmp_path: Path, content: bytes | None, why: str
) -> None:
    file = tmp_path / "key"
    if content is not None:
        await asyncio.to_thread(file.write_bytes, content)
    rbd = document(PoolType.RBD, "vms", monitors="192.0.2.1", user="horcrux", key_file=str(file))
    with pytest.raises(Unavailable, match=why) as refused:
        await pools.open(rbd, "")
    assert str(file) in str(refused.value)
    assert "not base64!" not in str(refused.value)


async def test_an_export_that_cannot_be_mounted_leaves_nothing_to_write_to(tmp_path: Path) -> None:
    """What lies below the mount must never be taken for the pool."""
    driver = LibvirtPoolDriver(
        "qemu:///system", NodeId("n" + secrets.token_hex(4)), state_dir=tmp_path, let_qemu_in=lambda _: None
    )
    nfs = document(PoolType.NFS, f"127.0.0.1:{tmp_path}/export")
    try:
        with pytest.raises(HorcruxError):
            await driver.open(nfs)
        seen = await driver.look(nfs)
        assert not seen.is_active
        assert seen.reason
        with pytest.raises(Unavailable):
            await driver.create_volume(nfs, "disk0", 1 << 20, "qcow2")
        assert driver.image_folder(nfs) == f"{tmp_path}/mounts/p/images"
        assert await asyncio.to_thread(lambda: list((tmp_path / "mounts" / "p").iterdir())) == []
    finally:
        await driver.remove(nfs)
        await driver.close()
