"""From a plan to libvirt's domain XML (libvirt.org/formatdomain.html). Pure: the same plan gives the same text.

The text is built as a tree, so that no name can break out of its place. The spec travels inside the domain, in a metadata
element of our own: what runs can then tell what it was started with, also to an agent that was not there.
"""

import json
import re
from xml.etree import ElementTree as ET

import msgspec

from horcrux.compute import domain_devices as devices
from horcrux.compute.domain import (
    SOCKET_PATH_BYTES,
    Accel,
    DomainPlan,
    HostFacts,
    Machine,
    domain_name,
    nvram_file,
    serial_socket,
    vnc_socket,
)
from horcrux.compute.vm import Architecture, Firmware, VmSpec, sealed
from horcrux.errors import HostLacks, Invalid, invalid_field
from horcrux.ids import NodeId, VmId

METADATA_URI = "https://horcrux.dev/xmlns/domain/1"

MAX_CORES = {Architecture.X86_64: 255, Architecture.AARCH64: 512, Architecture.RISCV64: 512}
"""More need an interrupt-remapping IOMMU on x86 (libvirt 9.0, virDomainDefValidate); the others are QEMU 7.2's limits."""

_MACHINE = {Architecture.X86_64: "q35", Architecture.AARCH64: "virt", Architecture.RISCV64: "virt"}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_QEMU_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}\Z")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class Mark(msgspec.Struct, frozen=True):
    """What our metadata element says of a domain. `spec` is None when it cannot be read (written by a later version)."""

    node_id: NodeId
    vm_id: VmId
    spec: VmSpec | None


def compile_domain(plan: DomainPlan, host: HostFacts) -> str:
    """The domain's XML. HostLacks for what this host cannot run, Invalid for what no host could."""
    machine = _machine_for(plan.spec, host)
    _check_paths(plan.vm_id, host)
    root = ET.Element("domain", type="kvm" if machine.accel is Accel.KVM else "qemu")
    _text(root, "name", domain_name(host.node_id, plan.vm_id))
    _text(root, "uuid", plan.uuid)
    _text(root, "title", _CONTROL.sub(" ", clean(plan.spec.name)))
    _add_mark(root, plan, host.node_id)
    _text(root, "memory", str(plan.spec.memory_mb), unit="MiB")
    _text(root, "vcpu", str(plan.spec.cpu_cores))
    _add_boot(root, plan, host, machine)
    _add_processor(root, plan.spec, machine)
    _add_clock(root, plan.spec.architecture)
    for event, action in (("on_poweroff", "destroy"), ("on_reboot", "restart"), ("on_crash", "destroy")):
        _text(root, event, action)
    if plan.spec.architecture is Architecture.X86_64:
        power = ET.SubElement(root, "pm")
        ET.SubElement(power, "suspend-to-mem", enabled="no")
        ET.SubElement(power, "suspend-to-disk", enabled="no")
    root.append(devices.compile_devices(plan, host, machine))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def read_mark(metadata: str) -> Mark | None:
    """What the text of our metadata element says; None when it is not one of ours."""
    try:
        element = ET.fromstring(metadata)  # noqa: S314 - libvirt's own answer, not a stranger's document
    except ET.ParseError:
        return None
    node_id, vm_id = element.get("node"), element.get("id")
    if element.tag not in {f"{{{METADATA_URI}}}vm", "vm"} or not node_id or not vm_id:
        return None
    spec = next((child.text for child in element if child.tag in {f"{{{METADATA_URI}}}spec", "spec"}), None)
    return Mark(NodeId(node_id), VmId(vm_id), _read_spec(spec or ""))


def clean(text: str) -> str:
    """`text` with U+FFFD for what XML 1.0 (section 2.2) cannot hold."""
    return _NOT_XML.sub("\ufffd", text)


def _read_spec(text: str) -> VmSpec | None:
    try:
        return msgspec.json.decode(text.encode(), type=VmSpec)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None


def _machine_for(spec: VmSpec, host: HostFacts) -> Machine:
    machine = host.machines.get(spec.architecture)
    if machine is None:
        raise HostLacks(f"this host has no QEMU for {spec.architecture}", architecture=str(spec.architecture))
    if _wants_uefi(spec) and machine.uefi is None:
        raise HostLacks(
            f"this host has no UEFI firmware for {spec.architecture}; "
            + (
                "choose firmware bios (OpenSBI)" if spec.architecture is Architecture.RISCV64 else "install its package"
            ),
            architecture=str(spec.architecture),
        )
    if not 1 <= spec.cpu_cores <= MAX_CORES[spec.architecture]:
        raise invalid_field("cpu_cores", f"1 to {MAX_CORES[spec.architecture]} on {spec.architecture}")
    for field, name in (("machine", spec.machine), ("cpu_model", spec.cpu_model)):
        if name is not None and not _QEMU_NAME.match(name):
            raise invalid_field(field, "a name that QEMU knows: letters, digits, '.', '_', '+' and '-'")
    return machine


def _wants_uefi(spec: VmSpec) -> bool:
    """64-bit ARM has no other firmware."""
    return spec.firmware is Firmware.UEFI or spec.architecture is Architecture.AARCH64


def _check_paths(vm_id: VmId, host: HostFacts) -> None:
    """QEMU would fail late, and in words of its own."""
    for path in (vnc_socket(host.runtime_dir, vm_id), serial_socket(host.runtime_dir, vm_id)):
        if len(path.encode()) > SOCKET_PATH_BYTES:
            raise Invalid(
                f"the id of {vm_id} is too long: its socket {path} would have {len(path.encode())} bytes of the "
                f"{SOCKET_PATH_BYTES} that a path may have; choose a shorter id or run-time folder"
            )


def _add_mark(root: ET.Element, plan: DomainPlan, node_id: NodeId) -> None:
    """ASCII JSON: a name may hold characters that XML cannot. Sealed: libvirt shows a domain's XML to every user of the host
    (its read-only socket, which polkit lets anybody use)."""
    metadata = ET.SubElement(root, "metadata")
    mark = ET.SubElement(metadata, "hx:vm", {"xmlns:hx": METADATA_URI, "node": node_id, "id": plan.vm_id})
    _text(mark, "hx:spec", json.dumps(msgspec.to_builtins(sealed(plan.spec)), ensure_ascii=True, separators=(",", ":")))


def _add_boot(root: ET.Element, plan: DomainPlan, host: HostFacts, machine: Machine) -> None:
    boot = ET.SubElement(root, "os")
    architecture = plan.spec.architecture
    _text(boot, "type", "hvm", arch=architecture, machine=plan.spec.machine or _MACHINE[architecture])
    if _wants_uefi(plan.spec) and machine.uefi is not None:
        _text(boot, "loader", machine.uefi.code, readonly="yes", type="pflash")
        _text(boot, "nvram", nvram_file(host.state_dir, plan.vm_id), template=machine.uefi.variables)
    elif machine.boot_loader is not None:
        _text(boot, "kernel", machine.boot_loader)


def _add_processor(root: ET.Element, spec: VmSpec, machine: Machine) -> None:
    features = ET.SubElement(root, "features")
    match spec.architecture:
        case Architecture.X86_64:
            ET.SubElement(features, "acpi")
            ET.SubElement(features, "apic")
        case Architecture.AARCH64:
            ET.SubElement(features, "acpi")
            # Version 2 ends at 8 processors. Hardware offers one version only.
            ET.SubElement(features, "gic", version="host" if machine.accel is Accel.KVM else "3")
        case Architecture.RISCV64:
            root.remove(features)
            if spec.cpu_model is not None:
                raise HostLacks("libvirt cannot choose a CPU model for riscv64; leave cpu_model out")
            return
    cpu = ET.SubElement(root, "cpu")
    match spec.cpu_model:
        case None if machine.accel is Accel.KVM:
            cpu.set("mode", "host-passthrough")
        case None | "max":
            cpu.set("mode", "maximum")
        case "host":
            cpu.set("mode", "host-passthrough")
        case name:
            cpu.attrib.update(mode="custom", match="exact", check="none")
            _text(cpu, "model", name, fallback="forbid")
    ET.SubElement(cpu, "topology", sockets="1", dies="1", cores=str(spec.cpu_cores), threads="1")


def _add_clock(root: ET.Element, architecture: Architecture) -> None:
    clock = ET.SubElement(root, "clock", offset="utc")
    if architecture is Architecture.X86_64:
        ET.SubElement(clock, "timer", name="rtc", tickpolicy="catchup")
        ET.SubElement(clock, "timer", name="pit", tickpolicy="delay")
        ET.SubElement(clock, "timer", name="hpet", present="no")


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text
