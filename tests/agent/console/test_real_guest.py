"""The whole chain to a QEMU that libvirt started as its own user: its RFB greeting, and its firmware on the serial line."""

import asyncio
import os
import pwd
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agent.console.closing import CloseCode
from horcrux.compute.vm import RunState
from horcrux.ids import VmId
from tests.agent.console.kit import Console, closed, console
from tests.support.waiting import eventually

pytestmark = pytest.mark.libvirt

NAME = f"hx-console-test-{os.getpid()}"
DOMAIN = """
<domain type='qemu'>
  <name>{name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type><bios useserial='yes'/></os>
  <features><acpi/></features>
  <devices>
    <graphics type='vnc'><listen type='socket' socket='{vnc}'/></graphics>
    <video><model type='vga'/></video>
    <serial type='unix'><source mode='bind' path='{serial}'/><log file='{log}'/></serial>
  </devices>
</domain>
"""


async def virsh(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "virsh", "--quiet", "--connect", "qemu:///system", *arguments, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()


@asynccontextmanager
async def guest(node: Console, vm_id: VmId) -> AsyncIterator[None]:
    text = DOMAIN.format(
        name=NAME,
        vnc=node.hosts.vnc_socket(vm_id),
        serial=node.hosts.serial_socket(vm_id),
        log=node.hosts.serial_log(vm_id),
    )
    description = node.folder / "domain.xml"
    await asyncio.to_thread(description.write_text, text)
    await asyncio.to_thread(os.chown, node.folder, pwd.getpwnam("libvirt-qemu").pw_uid, -1)
    await virsh("create", str(description))
    node.hosts.states[vm_id] = RunState.RUNNING
    try:
        yield
    finally:
        await virsh("destroy", NAME)


async def test_two_viewers_are_greeted_by_qemu_and_the_firmware_speaks_on_the_serial_line() -> None:
    vm_id = VmId("vm-1")
    async with console() as node:
        async with guest(node, vm_id):
            first, second = await node.watch(vm_id), await node.watch(vm_id)
            assert await first.receive_bytes(timeout=30) == b"RFB 003.008\n"
            assert await second.receive_bytes(timeout=30) == b"RFB 003.008\n"
            await first.send_bytes(b"RFB 003.008\n")
            assert await first.receive_bytes(timeout=30) == b"\x01\x01", "one security type: none"
            serial = await node.watch(vm_id, "serial")
            said = b""
            async with asyncio.timeout(60):
                while b"SeaBIOS" not in said:
                    said += await serial.receive_bytes()
        node.hosts.states[vm_id] = RunState.STOPPED
        assert await closed(first) == CloseCode.VM_STOPPED
        assert await closed(second) == CloseCode.VM_STOPPED
        assert await closed(serial) == CloseCode.VM_STOPPED
        assert "SeaBIOS" in await node.logs.read(vm_id)
        await eventually(lambda: node.service.viewers(vm_id) == 0)
