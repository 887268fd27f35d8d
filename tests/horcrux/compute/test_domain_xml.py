"""The golden files beside this test are what libvirt has been proven to accept (tests/agent/compute). After a wanted change:
`HORCRUX_GOLDEN=write pytest tests/horcrux/compute/test_domain_xml.py`, and read the difference."""

import os
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from horcrux.compute.domain import Accel, DomainDisk, DomainPlan, HostFacts, Machine, UefiFiles
from horcrux.compute.domain_devices import NIC_MODELS
from horcrux.compute.domain_xml import METADATA_URI, compile_domain, read_mark
from horcrux.compute.vm import Architecture, CloudInit, Disk, DiskBus, DiskCache, Firmware, Nic, VmSpec, sealed
from horcrux.errors import HostLacks, Invalid, InvalidFields
from horcrux.ids import NodeId, PoolId, VmId
from horcrux.storage.network_source import NetworkSource
from horcrux.storage.volume import VolumeKind

GOLDEN = Path(__file__).parent / "golden"

HOST = HostFacts(
    node_id=NodeId("n0123abcd"),
    runtime_dir="/run/horcrux/n0123abcd",
    state_dir="/var/lib/horcrux",
    machines={
        Architecture.X86_64: Machine(
            emulator="/usr/bin/qemu-system-x86_64", accel=Accel.TCG, uefi=UefiFiles("/OVMF/CODE.fd", "/OVMF/VARS.fd")
        ),
        Architecture.AARCH64: Machine(
            emulator="/usr/bin/qemu-system-aarch64", accel=Accel.TCG, uefi=UefiFiles("/AAVMF/CODE.fd", "/AAVMF/VARS.fd")
        ),
        Architecture.RISCV64: Machine(
            emulator="/usr/bin/qemu-system-riscv64", accel=Accel.TCG, boot_loader="/u-boot.bin"
        ),
    },
)
KVM = replace(
    HOST,
    machines={a: replace(m, accel=Accel.KVM) for a, m in HOST.machines.items() if a is not Architecture.RISCV64},
)


def disk(number: int, bus: DiskBus = DiskBus.VIRTIO, cache: DiskCache = DiskCache.NONE) -> Disk:
    return Disk(
        name=f"disk{number}", storage_pool=PoolId("local"), volume=f"v{number}", size_gb=1, bus=bus, cache=cache
    )


def plan_of(spec: VmSpec, **also: str | None) -> DomainPlan:
    opened = tuple(DomainDisk(name=d.name, path=f"/pool/{d.volume}.{d.format}", format=d.format) for d in spec.disks)
    return DomainPlan(
        vm_id=VmId("vm-100"),
        uuid="6f0a6f0e-0000-4000-8000-000000000100",
        spec=spec,
        disks=opened,
        seed_iso=also.get("seed_iso"),
        cdrom=also.get("cdrom"),
    )


SMALL = VmSpec(name="web-server", cpu_cores=1, memory_mb=512)


def bridged(bridge: str) -> VmSpec:
    return replace(SMALL, nics=(Nic(mac="52:54:00:00:00:01", bridge=bridge),))


FULL = VmSpec(
    name='<img onerror=alert(1)> ]]> & "quoted"',
    cpu_cores=4,
    memory_mb=8192,
    firmware=Firmware.UEFI,
    disks=(disk(0), disk(1, DiskBus.SCSI, DiskCache.WRITEBACK), disk(2, DiskBus.SATA, DiskCache.DIRECTSYNC)),
    nics=(Nic(mac="52:54:00:00:00:01"), Nic(mac="52:54:00:00:00:02", model="e1000e", bridge="br0")),
    cloud_init=CloudInit(user="ada", user_data="#cloud-config\n"),
)
CEPH = NetworkSource(
    hosts=("ceph-1", "192.0.2.2:6789", "[2001:db8::3]:3300"),
    user="horcrux",
    secret="0b6f6f0e-0000-4000-8000-00000000ceff",
)


def opened_as(kind: VolumeKind, path: str, network: NetworkSource | None = None) -> DomainPlan:
    """A VM with one disk that is no file."""
    opened = DomainDisk(name="disk0", path=path, format="raw", kind=kind, network=network)
    return replace(plan_of(replace(SMALL, disks=(replace(disk(0), format="raw"),))), disks=(opened,))


CASES: dict[str, tuple[DomainPlan, HostFacts]] = {
    "x86_64-bios-small": (plan_of(SMALL), HOST),
    "x86_64-uefi-full": (plan_of(FULL, seed_iso="/state/seed.iso", cdrom="/pool/debian.iso"), HOST),
    "x86_64-kvm": (plan_of(replace(SMALL, disks=(disk(0),))), KVM),
    "x86_64-cpu-model": (plan_of(replace(SMALL, cpu_model="Skylake-Server", machine="pc-q35-7.2")), HOST),
    "aarch64": (plan_of(replace(SMALL, architecture=Architecture.AARCH64), cdrom="/pool/debian.iso"), HOST),
    "riscv64": (plan_of(replace(SMALL, architecture=Architecture.RISCV64, disks=(disk(0),)), seed_iso="/s.iso"), HOST),
    "block-device": (opened_as(VolumeKind.BLOCK, "/dev/vg0/vm-100-disk-0"), HOST),
    "rbd": (opened_as(VolumeKind.NETWORK, "rbd:vms/vm-100-disk-0:id=horcrux", CEPH), HOST),
    "rbd-of-the-hosts-own-configuration": (opened_as(VolumeKind.NETWORK, "rbd:vms/vm-100-disk-0"), HOST),
    "without-virtlogd": (plan_of(SMALL), replace(HOST, has_virtlogd=False)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_xml_is_the_golden_one(name: str) -> None:
    file = GOLDEN / f"{name}.xml"
    made = compile_domain(*CASES[name])
    if os.environ.get("HORCRUX_GOLDEN") == "write":
        file.parent.mkdir(exist_ok=True)
        file.write_text(made)
    assert made == file.read_text()


macs = st.integers(0, 2**24 - 1).map(lambda n: "52:54:00:" + n.to_bytes(3, "big").hex(":"))
nics = st.builds(Nic, mac=macs, model=st.sampled_from(sorted(NIC_MODELS)), bridge=st.none() | st.just("br0&<'\""))
specs = st.builds(
    VmSpec,
    name=st.text(max_size=80),
    cpu_cores=st.integers(1, 255),
    memory_mb=st.integers(16, 1 << 22),
    architecture=st.sampled_from(Architecture),
    disks=st.lists(st.tuples(st.sampled_from(DiskBus), st.sampled_from(DiskCache)), max_size=30).map(
        lambda kinds: tuple(disk(number, *kind) for number, kind in enumerate(kinds))
    ),
    nics=st.lists(nics, max_size=9).map(tuple),
    cloud_init=st.none() | st.builds(CloudInit, user=st.none() | st.text(), user_data=st.none() | st.text()),
)


@given(specs, st.booleans(), st.booleans())
def test_any_spec_becomes_well_formed_xml_from_which_it_can_be_read_again(
    spec: VmSpec, has_seed: bool, has_cd: bool
) -> None:
    plan = plan_of(spec, seed_iso="/s.iso" if has_seed else None, cdrom="/c.iso" if has_cd else None)
    root = ET.fromstring(compile_domain(plan, HOST))
    mark = read_mark(ET.tostring(root.find("metadata")[0], encoding="unicode"))  # type: ignore[index]  # None fails the test too
    assert mark is not None
    assert (mark.node_id, mark.vm_id, mark.spec) == (HOST.node_id, plan.vm_id, sealed(spec))
    targets = [target.get("dev") for target in root.iter("target") if target.get("dev")]
    assert len(set(targets)) == len(targets) == len(spec.disks) + has_seed + has_cd
    orders = [boot.get("order") for boot in root.iter("boot")]
    assert orders == [str(n) for n in range(1, len(spec.disks) + has_cd + len(spec.nics) + 1)]


@given(specs)
def test_no_name_makes_an_element_of_its_own(spec: VmSpec) -> None:
    """Only structure counts here: another name must not change which elements there are."""

    def shape(name: str) -> list[str]:
        return [
            element.tag for element in ET.fromstring(compile_domain(plan_of(replace(spec, name=name)), HOST)).iter()
        ]

    assert shape(spec.name) == shape("plain")


@given(specs)
def test_nothing_listens_on_the_network_and_nothing_starts_by_itself(spec: VmSpec) -> None:
    text = compile_domain(plan_of(spec), HOST)
    root = ET.fromstring(text)
    assert [listen.attrib for listen in root.iter("listen")] == [
        {"type": "socket", "socket": "/run/horcrux/n0123abcd/vnc/vm-100.sock"}
    ]
    graphics = root.find("devices/graphics")
    assert graphics is not None
    assert not {"port", "autoport", "websocket", "passwd"} & set(graphics.attrib)


def test_titles_hold_one_line() -> None:
    text = compile_domain(plan_of(replace(SMALL, name="two\nlines\x00\u2028end\ufffe")), HOST)
    assert ET.fromstring(text).findtext("title") == "two lines\ufffd end\ufffd"


def test_a_free_port_waits_for_what_is_plugged_in_later() -> None:
    def ports(spec: VmSpec) -> int:
        root = ET.fromstring(compile_domain(plan_of(spec), HOST))
        return sum(c.get("model") == "pcie-root-port" for c in root.iter("controller"))

    assert ports(replace(SMALL, disks=(disk(0), disk(1)))) == ports(SMALL) + 2


@pytest.mark.parametrize(
    ("spec", "host", "words"),
    [
        (replace(SMALL, architecture=Architecture.RISCV64, firmware=Firmware.UEFI), HOST, "choose firmware bios"),
        (replace(SMALL, architecture=Architecture.RISCV64, cpu_model="max"), HOST, "cpu_model"),
        (SMALL, replace(HOST, machines={}), "no QEMU for x86_64"),
        (replace(SMALL, nics=(Nic(mac="52:54:00:00:00:01", vnet="blue"),)), HOST, "virtual network blue"),
    ],
)
def test_what_the_host_lacks_is_told(spec: VmSpec, host: HostFacts, words: str) -> None:
    with pytest.raises(HostLacks, match=words):
        compile_domain(plan_of(spec), host)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (replace(SMALL, cpu_cores=0), "cpu_cores"),
        (replace(SMALL, cpu_cores=256), "cpu_cores"),
        (replace(SMALL, nics=(Nic(mac="52:54:00:00:00:01"), Nic(mac="52:54:00:00:00:02", model="x"))), "nics[1].model"),
        *((bridged(b), "nics[0].bridge") for b in ("", "a b", "a/b", "\x01", "b" * 16)),
        *((replace(SMALL, machine=m), "machine") for m in ("", "q35,x=y", "\x01")),
        (replace(SMALL, cpu_model="max,+svm"), "cpu_model"),
    ],
)
def test_what_no_host_can_run_names_the_field(spec: VmSpec, field: str) -> None:
    with pytest.raises(InvalidFields) as refusal:
        compile_domain(plan_of(spec), HOST)
    assert [problem.field for problem in refusal.value.problems] == [field]


def test_a_socket_path_may_have_107_bytes_and_no_more() -> None:
    room = 107 - len("/run/horcrux/n0123abcd/serial/.sock")
    compile_domain(replace(plan_of(SMALL), vm_id=VmId("v" * room)), HOST)
    with pytest.raises(Invalid, match="108 bytes of the 107"):
        compile_domain(replace(plan_of(SMALL), vm_id=VmId("v" * (room + 1))), HOST)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<a",
        "<vm/>",
        '<vm node="n1"/>',
        '<other xmlns="https://elsewhere" node="n1" id="v"/>',
        '<vm id="" node="n1"/>',
    ],
)
def test_what_others_wrote_is_no_mark(text: str) -> None:
    assert read_mark(text) is None


def test_a_mark_by_a_later_version_is_ours_although_its_spec_cannot_be_read() -> None:
    mark = read_mark(f'<vm xmlns="{METADATA_URI}" node="n1" id="vm-1"><spec>{{"cpu_cores":"many"}}</spec></vm>')
    assert mark is not None
    assert (mark.node_id, mark.vm_id, mark.spec) == ("n1", "vm-1", None)


def test_a_spec_with_fields_of_a_later_version_is_read() -> None:
    spec = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(SMALL) | {"new": 1}))
    text = msgspec.json.encode(spec).decode().replace('"', "&quot;")
    mark = read_mark(f'<vm xmlns="{METADATA_URI}" node="n1" id="vm-1"><spec>{text}</spec></vm>')
    assert mark is not None
    assert mark.spec == SMALL


def test_the_xml_shows_no_user_data_which_any_user_of_the_host_could_read() -> None:
    spec = VmSpec(
        name="web", cpu_cores=1, memory_mb=64, cloud_init=CloudInit(user_data="#cloud-config\npassword: hunter2")
    )
    assert "hunter2" not in compile_domain(plan_of(spec), HOST)
