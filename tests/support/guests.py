"""Hosts for guests: real libvirt with QEMU, or the fake; each test has a node id of its own and leaves nothing behind."""

import asyncio
import contextlib
import grp
import os
import secrets
import stat
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import msgspec

from agent.compute.driver import BlockJobs, ConsolePaths, GuestSnapshots, Hypervisor, Keyboard
from agent.compute.fake import FakeHypervisor
from agent.compute.fake_blocks import FakeBlockJobs
from agent.compute.fake_snapshots import FakeSnapshots
from horcrux.compute.domain import Accel, DomainDisk, DomainPlan, HostFacts, Machine, UefiFiles, domain_name
from horcrux.compute.vm import Architecture, Disk, DiskCache, VmSpec
from horcrux.ids import NodeId, PoolId, VmId

URI = "qemu:///system"
LIBVIRT_SOCKET = "/run/libvirt/libvirt-sock"

MACHINES = {
    Architecture.X86_64: Machine(
        emulator="/usr/bin/qemu-system-x86_64",
        accel=Accel.TCG,
        uefi=UefiFiles("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ),
    Architecture.AARCH64: Machine(
        emulator="/usr/bin/qemu-system-aarch64",
        accel=Accel.TCG,
        uefi=UefiFiles("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
    ),
    Architecture.RISCV64: Machine(emulator="/usr/bin/qemu-system-riscv64", accel=Accel.TCG),
}
"""As Debian 12 has them, whatever this machine has: compiled XML does not depend on where the test runs."""


class Driver(Hypervisor, Keyboard, ConsolePaths, Protocol):
    """All that a hypervisor of ours can do."""


class World(Protocol):
    """A host with its guests, and what others than our driver do to it."""

    host: HostFacts

    def open(self) -> AbstractAsyncContextManager[Driver]:
        """A new driver object on this host; the guests outlive it."""
        ...

    async def outside_stop(self, vm_id: VmId) -> None: ...
    async def outside_undefine(self, vm_id: VmId) -> None: ...
    async def crash(self, vm_id: VmId) -> None: ...
    async def lose(self) -> None: ...
    async def come_back(self) -> None: ...


class FakeWorld:
    def __init__(self) -> None:
        self.host = host_facts("/nowhere")
        self._driver = FakeHypervisor(self.host)

    def open(self) -> AbstractAsyncContextManager[Driver]:
        return self._driver

    async def outside_stop(self, vm_id: VmId) -> None:
        self._driver.outside_stop(vm_id)

    async def outside_undefine(self, vm_id: VmId) -> None:
        self._driver.outside_undefine(vm_id)

    async def crash(self, vm_id: VmId) -> None:
        self._driver.crash(vm_id)

    async def lose(self) -> None:
        self._driver.lose()

    async def come_back(self) -> None:
        self._driver.come_back()


def block_jobs(driver: Driver) -> BlockJobs:
    """The ability beside the driver that `world` opened."""
    if isinstance(driver, FakeHypervisor):
        return FakeBlockJobs(driver)
    from agent.compute.libvirt import LibvirtHypervisor
    from agent.compute.libvirt_blocks import LibvirtBlockJobs

    assert isinstance(driver, LibvirtHypervisor)
    return LibvirtBlockJobs(driver)


def guest_snapshots(driver: Driver, node_id: NodeId) -> GuestSnapshots:
    """The ability beside the driver that `world` opened."""
    if isinstance(driver, FakeHypervisor):
        return FakeSnapshots(driver)
    from agent.compute.libvirt import LibvirtHypervisor
    from agent.compute.libvirt_snapshots import LibvirtSnapshots

    assert isinstance(driver, LibvirtHypervisor)
    return LibvirtSnapshots(driver, node_id, URI)


class LibvirtWorld:
    """Real QEMU. The driver reaches libvirt through a relay of ours, which can be cut."""

    def __init__(self, folder: Path, node_id: NodeId) -> None:
        self.host = host_facts(str(folder), node_id)
        self._relay = Relay(LIBVIRT_SOCKET, f"{folder}/relay.sock")

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Driver]:
        from agent.compute.libvirt import LibvirtHypervisor

        await self._relay.start()
        try:
            async with LibvirtHypervisor(self.host, f"qemu+unix:///system?socket={self._relay.path}") as driver:
                yield driver
        finally:
            await self._relay.stop()

    async def outside_stop(self, vm_id: VmId) -> None:
        await virsh("destroy", domain_name(self.host.node_id, vm_id))

    async def outside_undefine(self, vm_id: VmId) -> None:
        await virsh("undefine", "--nvram", domain_name(self.host.node_id, vm_id))

    async def crash(self, vm_id: VmId) -> None:
        pid = await asyncio.to_thread(Path(f"/run/libvirt/qemu/{domain_name(self.host.node_id, vm_id)}.pid").read_text)
        os.kill(int(pid), 9)

    async def lose(self) -> None:
        await self._relay.stop()

    async def come_back(self) -> None:
        await self._relay.start()


class Relay:
    """A Unix socket that leads to another one, until it is stopped: then its connections end and nothing listens."""

    def __init__(self, target: str, path: str) -> None:
        self._target = target
        self.path = path
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.close()
        await asyncio.to_thread(Path(self.path).unlink, missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(self._target)
        self._writers |= {writer, far_writer}
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pump(reader, far_writer))
            group.create_task(self._pump(far_reader, writer))
        self._writers -= {writer, far_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


@contextlib.contextmanager
def libvirt_world() -> Iterator[LibvirtWorld]:
    """A node of its own on this machine's libvirt (started when nothing has); its domains and files are gone afterwards."""
    with running_libvirt(), tempfile.TemporaryDirectory(prefix="hxg-") as name:
        node_id = NodeId("n" + secrets.token_hex(4))
        try:
            yield LibvirtWorld(Path(name), node_id)
        finally:
            remove_domains(node_id)


@contextlib.contextmanager
def running_libvirt() -> Iterator[None]:
    """libvirt answers. What had to be started for that is stopped afterwards."""
    _settle_kvm_device()
    with contextlib.ExitStack() as stack:
        if not _libvirt_answers():
            for program in ("virtlogd", "libvirtd"):
                process = subprocess.Popen([program], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                stack.callback(process.wait, 30)
                stack.callback(process.terminate)
            deadline = time.monotonic() + 60
            while not _libvirt_answers():
                assert time.monotonic() < deadline, "libvirtd did not come up"
        yield


def remove_domains(node_id: NodeId) -> None:
    """No domain of `node_id` is left, whatever it was doing."""
    names = subprocess.run(
        ["virsh", "-q", "list", "--all", "--name"], capture_output=True, text=True, check=True
    ).stdout.split()
    for name in names:
        if name.startswith(domain_name(node_id, VmId(""))):
            subprocess.run(["virsh", "-q", "destroy", name], capture_output=True, check=False)
            subprocess.run(
                [
                    "virsh",
                    "-q",
                    "undefine",
                    "--nvram",
                    "--managed-save",
                    "--snapshots-metadata",
                    "--checkpoints-metadata",
                    name,
                ],
                capture_output=True,
                check=False,
            )


async def virsh(*arguments: str, stdin: str | None = None) -> str:
    """What `virsh` prints; fails the test when virsh fails."""
    process = await asyncio.create_subprocess_exec(
        "virsh", "-q", "-c", URI, *arguments, stdin=-1 if stdin is not None else None, stdout=-1, stderr=-1
    )
    out, err = await process.communicate(None if stdin is None else stdin.encode())
    assert process.returncode == 0, err.decode()
    return out.decode()


def host_facts(folder: str, node_id: str = "n00000001") -> HostFacts:
    return HostFacts(
        node_id=NodeId(node_id), runtime_dir=f"{folder}/run", state_dir=f"{folder}/state", machines=MACHINES
    )


def plan_for(vm_id: str, *, uuid: str | None = None, **spec: object) -> DomainPlan:
    """A guest that needs next to nothing: 32 MiB, no disk; it stays in its firmware. `spec` overrides."""
    fields: dict[str, object] = {"name": vm_id, "cpu_cores": 1, "memory_mb": 32, **spec}
    number = int.from_bytes(vm_id.encode()[-12:], "big")
    return DomainPlan(
        vm_id=VmId(vm_id),
        uuid=uuid or f"{secrets.token_hex(4)}-0000-4000-8000-{number % 16**12:012x}",
        spec=msgspec.convert(fields, VmSpec),
    )


def with_disk(plan: DomainPlan, path: Path, cache: DiskCache = DiskCache.WRITEBACK) -> DomainPlan:
    """`plan` with one raw disk at `path`."""
    disk = Disk(name="disk0", storage_pool=PoolId("local"), volume=path.name, size_gb=1, cache=cache, format="raw")
    return msgspec.structs.replace(
        plan,
        spec=msgspec.structs.replace(plan.spec, disks=(disk,)),
        disks=(DomainDisk(name="disk0", path=str(path), format="raw"),),
    )


def _libvirt_answers() -> bool:
    return subprocess.run(["virsh", "-q", "-c", URI, "version"], capture_output=True, check=False).returncode == 0


def _settle_kvm_device() -> None:
    """Debian's udev gives /dev/kvm to group kvm. Where no udev runs and only root may open it, libvirt 9.0 throws away what it
    knows of QEMU at every call ("KVM was enabled when probing, but it is not available now") and each define takes a minute."""
    device = Path("/dev/kvm")
    if device.exists() and stat.S_IMODE(device.stat().st_mode) == 0o600:
        os.chown(device, 0, grp.getgrnam("kvm").gr_gid)
        device.chmod(0o660)
