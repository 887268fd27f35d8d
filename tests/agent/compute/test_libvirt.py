"""What only the real thing shows: files, sockets, firmware, and other users of the same libvirt."""

import asyncio
import grp
import re
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.compute.guest_files import GuestFiles
from agent.compute.libvirt import LibvirtHypervisor
from agent.host.reach import find_account
from horcrux.compute.domain import domain_name, nvram_file
from horcrux.compute.domain_xml import METADATA_URI, compile_domain
from horcrux.compute.vm import RunState
from horcrux.errors import AlreadyExists, HorcruxError, HostLacks, NotFound, Unavailable, Unreachable
from horcrux.ids import VmId
from tests.support.guests import URI, LibvirtWorld, libvirt_world, plan_for, virsh, with_disk
from tests.support.waiting import until

pytestmark = pytest.mark.libvirt

VM = VmId("vm-100")


@pytest.fixture
def world() -> Iterator[LibvirtWorld]:
    with libvirt_world() as real:
        yield real


@pytest.fixture
def neighbour() -> Iterator[LibvirtWorld]:
    """Another node on the same libvirt."""
    with libvirt_world() as real:
        yield real


@pytest.fixture
async def driver(world: LibvirtWorld) -> AsyncIterator[LibvirtHypervisor]:
    async with LibvirtHypervisor(world.host) as opened:
        yield opened


async def written_on_serial(driver: LibvirtHypervisor, vm_id: VmId, pattern: bytes, timeout_s: float = 90) -> None:
    """Returns when the log of the serial line matches."""
    log = Path(driver.serial_log(vm_id))

    def matches() -> bool:
        return log.exists() and re.search(pattern, log.read_bytes()) is not None

    await until(lambda: asyncio.to_thread(matches), timeout_s=timeout_s)  # a file gives no other sign


def files_of(world: LibvirtWorld) -> set[Path]:
    """Everything but folders that this node has on the disk."""
    folders = (Path(world.host.state_dir), Path(world.host.runtime_dir))
    return {path for folder in folders for path in folder.rglob("*") if not path.is_dir()}


async def make_disk(path: Path) -> None:
    """A file of 1 MiB of zeros, in a folder made for it when need be."""

    def write() -> None:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_bytes(bytes(1 << 20))

    await asyncio.to_thread(write)


async def rfb_greeting(path: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    async with asyncio.timeout(5):
        greeting = await reader.readexactly(12)
    writer.close()
    return greeting


@pytest.mark.parametrize(
    ("architecture", "firmware", "words"),
    [
        ("x86_64", "uefi", rb"BdsDxe|UEFI|iPXE"),
        ("aarch64", "uefi", rb"UEFI firmware|BdsDxe"),
        ("riscv64", "bios", rb"OpenSBI"),
    ],
)
async def test_firmware_speaks_on_the_serial_line_and_the_screen_answers(
    driver: LibvirtHypervisor, architecture: str, firmware: str, words: bytes
) -> None:
    plan = plan_for(VM, architecture=architecture, firmware=firmware, memory_mb=128)
    await driver.define(plan)
    await driver.start(VM)
    await written_on_serial(driver, VM, words)
    assert await rfb_greeting(driver.vnc_socket(VM)) == b"RFB 003.008\n"
    await driver.stop(VM)


async def test_the_serial_socket_is_the_guests_serial_line(driver: LibvirtHypervisor) -> None:
    """OpenSBI writes its banner again after a reset; a reader that is there by then gets it."""
    await driver.define(plan_for(VM, architecture="riscv64", memory_mb=64))
    await driver.start(VM)
    reader, writer = await asyncio.open_unix_connection(driver.serial_socket(VM))
    await driver.reset(VM)
    async with asyncio.timeout(60):
        assert b"OpenSBI" in await reader.readuntil(b"OpenSBI")
    writer.close()


def test_only_qemus_user_may_enter_the_folders_of_sockets_and_its_group_pass_to_the_screens(
    world: LibvirtWorld,
) -> None:
    GuestFiles(world.host).prepare()
    qemu = find_account("libvirt-qemu")
    for name, mode in (("vnc", 0o710), ("serial", 0o700)):
        found = (Path(world.host.runtime_dir) / name).stat()
        assert stat.S_IMODE(found.st_mode) == mode
        assert found.st_uid == qemu.uid
        assert found.st_gid == grp.getgrnam("libvirt-qemu").gr_gid


async def test_no_file_of_an_undefined_vm_is_left_but_those_of_its_neighbours_are(
    world: LibvirtWorld, driver: LibvirtHypervisor
) -> None:
    await driver.define(plan_for(VM, firmware="uefi", memory_mb=64))
    await driver.start(VM)
    await driver.stop(VM)
    logs = Path(world.host.state_dir) / "serial"
    rotated, neighbour = logs / "vm-100.log.0", logs / "vm-100.log.0.log"
    for file in (rotated, neighbour):
        await asyncio.to_thread(file.touch)
    before = await asyncio.to_thread(files_of, world)
    assert {Path(nvram_file(world.host.state_dir, VM)), Path(driver.serial_log(VM)), rotated} <= before
    await driver.undefine(VM)
    assert await asyncio.to_thread(files_of, world) == {neighbour}


async def test_firmware_variables_survive_a_new_definition(world: LibvirtWorld, driver: LibvirtHypervisor) -> None:
    plan = plan_for(VM, firmware="uefi", memory_mb=64)
    await driver.define(plan)
    await driver.start(VM)
    await driver.stop(VM)
    file = Path(nvram_file(world.host.state_dir, VM))
    await asyncio.to_thread(file.write_bytes, b"what the guest stored")
    await driver.define(replace(plan, spec=replace(plan.spec, cpu_cores=2)))
    assert await asyncio.to_thread(file.read_bytes) == b"what the guest stored"


@pytest.mark.parametrize("mark", ["", f'<hx:vm xmlns:hx="{METADATA_URI}" node="n99999999" id="vm-100"/>'])
async def test_a_domain_with_our_name_that_is_not_marked_as_ours_is_left_alone(
    world: LibvirtWorld, driver: LibvirtHypervisor, mark: str
) -> None:
    name = domain_name(world.host.node_id, VM)
    xml = Path(world.host.state_dir) / "foreign.xml"
    await asyncio.to_thread(
        xml.write_text,
        f"<domain type='qemu'><name>{name}</name><metadata>{mark}</metadata><memory unit='MiB'>32</memory>"
        "<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>",
    )
    await virsh("define", str(xml))
    assert await driver.list() == []
    for act in (driver.look, driver.start, driver.stop):
        with pytest.raises(NotFound):
            await act(VM)
    with pytest.raises(AlreadyExists, match="not ours"):
        await driver.define(plan_for(VM))
    await driver.undefine(VM)
    assert name in (await virsh("list", "--all", "--name")).split()


async def test_the_vms_of_another_node_are_unseen_and_untouched(
    neighbour: LibvirtWorld, driver: LibvirtHypervisor
) -> None:
    async with LibvirtHypervisor(neighbour.host) as other:
        await other.define(plan_for(VM))
        await other.start(VM)
        assert await driver.list() == []
        with pytest.raises(NotFound):
            await driver.stop(VM)
        assert (await other.look(VM)).state is RunState.RUNNING


async def test_a_marked_domain_is_never_started_by_libvirt_itself(
    world: LibvirtWorld, driver: LibvirtHypervisor
) -> None:
    await driver.define(plan_for(VM))
    facts = await virsh("dominfo", domain_name(world.host.node_id, VM))
    assert re.search(r"Autostart:\s+disable", facts)
    assert re.search(r"Persistent:\s+yes", facts)


async def test_a_disk_is_opened_and_a_missing_one_is_told(world: LibvirtWorld, driver: LibvirtHypervisor) -> None:
    disk = Path(world.host.state_dir) / "nvram" / "disk.raw"
    plan = with_disk(plan_for(VM), disk)
    await driver.define(plan)
    with pytest.raises(Unavailable, match=r"disk\.raw.*pool"):
        await driver.start(VM)
    await make_disk(disk)
    await driver.start(VM)
    assert (await driver.look(VM)).applied == plan.spec


async def test_a_disk_under_a_private_folder_is_told_with_the_remedy(
    world: LibvirtWorld, driver: LibvirtHypervisor
) -> None:
    private = Path(world.host.state_dir) / "private"
    await make_disk(private / "disk.raw")
    await driver.define(with_disk(plan_for(VM), private / "disk.raw"))
    with pytest.raises(HostLacks, match="setfacl"):
        await driver.start(VM)


async def test_a_bridge_that_does_not_exist_is_told(driver: LibvirtHypervisor) -> None:
    await driver.define(plan_for(VM, nics=[{"mac": "52:54:00:00:00:01", "bridge": "hx-nope"}]))
    with pytest.raises(HostLacks, match="bridge"):
        await driver.start(VM)


async def test_no_libvirt_at_all_is_unreachable(world: LibvirtWorld) -> None:
    async with LibvirtHypervisor(world.host, f"qemu+unix:///system?socket={world.host.runtime_dir}/none") as driver:
        with pytest.raises(Unreachable, match="libvirtd"):
            await driver.list()


async def test_errors_nobody_foresaw_keep_libvirts_words(world: LibvirtWorld, driver: LibvirtHypervisor) -> None:
    with pytest.raises(HorcruxError, match=r"pc-q35-99\.9"):
        await driver.define(plan_for(VM, machine="pc-q35-99.9"))


async def test_libvirt_accepts_a_name_that_is_full_of_markup(world: LibvirtWorld, driver: LibvirtHypervisor) -> None:
    name = "<img onerror=alert(1)> ]]> &amp; \"'\n\x01\ufffe </title>"
    plan = plan_for(VM, name=name)
    await driver.define(plan)
    await driver.start(VM)
    seen = await driver.look(VM)
    assert seen.applied is not None
    assert seen.applied.name == name
    assert "onerror" in await virsh("desc", "--title", domain_name(world.host.node_id, VM))


async def test_text_is_typed_in_order_and_waits_for_each_key(world: LibvirtWorld) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    async with LibvirtHypervisor(world.host, URI, sleep=sleep) as driver:
        await driver.define(plan_for(VM))
        await driver.start(VM)
        await driver.send_keys(VM, [["a"], ["shift", "b"]])
    assert waited == [0.04, 0.08]


async def test_what_the_compiler_makes_passes_libvirts_schema(world: LibvirtWorld) -> None:
    nics = [{"mac": f"52:54:00:00:00:0{i}", "model": m} for i, m in enumerate(("virtio", "e1000", "e1000e", "rtl8139"))]
    for architecture, firmware in (("x86_64", "bios"), ("x86_64", "uefi"), ("aarch64", "uefi"), ("riscv64", "bios")):
        plan = plan_for(f"vm-{architecture}-{firmware}", architecture=architecture, firmware=firmware, nics=nics)
        xml = Path(world.host.runtime_dir).parent / "plan.xml"
        made = compile_domain(replace(plan, seed_iso="/tmp/seed.iso", cdrom="/tmp/cd.iso"), world.host)
        await asyncio.to_thread(xml.write_text, made)
        await virsh("define", "--validate", str(xml))
