"""That libvirt takes disks which are no files. Nothing is started: there is no Ceph here."""

import asyncio
import uuid
from pathlib import Path

import libvirt
import pytest

pytestmark = pytest.mark.libvirt

GOLDEN = Path(__file__).parents[2] / "horcrux" / "compute" / "golden"


def define(xml: str) -> str:
    """libvirt's own description of the domain, which is gone again."""
    own = str(uuid.uuid4())
    named = xml.replace("6f0a6f0e-0000-4000-8000-000000000100", own).replace(">hx-n0123abcd-vm-100<", f">hx-{own}<")
    assert own in named
    connection = libvirt.open("qemu:///system")
    try:
        domain = connection.defineXMLFlags(named, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        described: str = domain.XMLDesc(0)
        domain.undefine()
        return described
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("block-device", "<source dev='/dev/vg0/vm-100-disk-0'/>"),
        ("rbd", "<host name='2001:db8::3' port='3300'/>"),
        ("rbd-of-the-hosts-own-configuration", "<source protocol='rbd' name='vms/vm-100-disk-0'"),
    ],
)
async def test_libvirt_takes_the_golden_domain_as_valid(name: str, kept: str) -> None:
    xml = await asyncio.to_thread((GOLDEN / f"{name}.xml").read_text)
    assert kept in await asyncio.to_thread(define, xml)
