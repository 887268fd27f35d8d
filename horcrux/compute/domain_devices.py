"""The `<devices>` of a domain.

Order is part of the result: libvirt gives PCI addresses in the order of the devices, so what is added later comes last.
"""

import re
from xml.etree import ElementTree as ET

from horcrux.compute.disk_source import add_source
from horcrux.compute.domain import (
    Accel,
    DomainDisk,
    DomainPlan,
    HostFacts,
    Machine,
    serial_log,
    serial_socket,
    vnc_socket,
)
from horcrux.compute.vm import Architecture, Disk, DiskBus, DiskCache, Nic
from horcrux.errors import HostLacks, invalid_field
from horcrux.storage.volume import VolumeKind

_LINK_NAME = re.compile(r"[!-.0-~]{1,15}\Z")
"""What Linux takes as a link's name (dev_valid_name), less what is not ASCII."""

NIC_MODELS = frozenset({"virtio", "e1000", "e1000e", "rtl8139"})
SPARE_PORTS = 8
"""PCI Express ports left free: a device can be plugged into a running guest only where a port waits for it."""

_DIRECT = frozenset({DiskCache.NONE, DiskCache.DIRECTSYNC})
"""Modes that open the file with O_DIRECT; only there does Linux AIO (`io='native'`) not block."""


def compile_devices(plan: DomainPlan, host: HostFacts, machine: Machine) -> ET.Element:
    """The element with everything that is plugged in. Invalid and HostLacks name the field of the spec."""
    root = ET.Element("devices")
    ET.SubElement(root, "emulator").text = machine.emulator
    _add_disks(root, plan)
    _add_controllers(root, plan)
    boots = len(plan.disks) + (plan.cdrom is not None)
    for index, nic in enumerate(plan.spec.nics):
        _add_nic(root, nic, index, boots + index + 1)
    _add_consoles(root, plan, host)
    _add_screen(root, plan.spec.architecture)
    ET.SubElement(root, "memballoon", model="virtio", autodeflate="on", freePageReporting="on")
    rng = ET.SubElement(root, "rng", model="virtio")
    ET.SubElement(rng, "backend", model="random").text = "/dev/urandom"
    if plan.spec.architecture is Architecture.X86_64:
        ET.SubElement(root, "panic", model="isa")
    if machine.accel is Accel.KVM and plan.spec.architecture is Architecture.RISCV64:
        raise HostLacks("hardware acceleration of riscv64 guests is not supported")
    return root


def _add_disks(root: ET.Element, plan: DomainPlan) -> None:
    """Disks boot first, in their order, then the CD. The seed is no boot medium."""
    names = _TargetNames()
    if len(plan.disks) != len(plan.spec.disks):
        raise invalid_field("disks", f"{len(plan.spec.disks)} in the spec, but {len(plan.disks)} have a path")
    for order, (disk, opened) in enumerate(zip(plan.spec.disks, plan.disks, strict=True), 1):
        _add_disk(root, disk, opened, names.take(disk.bus), order)
    bus = cdrom_bus(plan.spec.architecture)
    if plan.cdrom is not None:
        cdrom = _add_cdrom(root, plan.cdrom, "cdrom", bus, names.take(bus))
        ET.SubElement(cdrom, "boot", order=str(len(plan.disks) + 1))
    if plan.seed_iso is not None:
        _add_cdrom(root, plan.seed_iso, "seed", bus, names.take(bus))


def cdrom_bus(architecture: Architecture) -> DiskBus:
    """q35 has SATA on board; the other machines' firmware and kernels meet virtio-scsi first."""
    return DiskBus.SATA if architecture is Architecture.X86_64 else DiskBus.SCSI


class _TargetNames:
    """Gives out `vda`, `vdb`, … and `sda`, …; SCSI and SATA share theirs, as in the kernel."""

    def __init__(self) -> None:
        self._taken = {"vd": 0, "sd": 0}

    def take(self, bus: DiskBus) -> str:
        prefix = "vd" if bus is DiskBus.VIRTIO else "sd"
        number, letters = self._taken[prefix], ""
        self._taken[prefix] += 1
        while number >= 0:
            letters = chr(ord("a") + number % 26) + letters
            number = number // 26 - 1
        return prefix + letters


def _add_disk(root: ET.Element, disk: Disk, opened: DomainDisk, target: str, order: int) -> None:
    element = ET.SubElement(root, "disk", type=opened.kind, device="disk")
    driver = ET.SubElement(element, "driver", name="qemu", type=opened.format, cache=disk.cache)
    if (
        opened.kind is not VolumeKind.NETWORK
    ):  # there QEMU's own protocol driver does what the host's AIO does elsewhere
        direct = disk.cache in _DIRECT and opened.format in {"raw", "qcow2"}
        driver.set("io", "native" if direct else "threads")
    driver.set("discard", "unmap")
    add_source(element, opened)
    ET.SubElement(element, "target", dev=target, bus=disk.bus)
    ET.SubElement(element, "serial").text = disk.name
    ET.SubElement(element, "boot", order=str(order))
    ET.SubElement(element, "alias", name=f"ua-{disk.name}")


def _add_cdrom(root: ET.Element, path: str, name: str, bus: DiskBus, target: str) -> ET.Element:
    element = ET.SubElement(root, "disk", type="file", device="cdrom")
    ET.SubElement(element, "driver", name="qemu", type="raw")
    ET.SubElement(element, "source", file=path)
    ET.SubElement(element, "target", dev=target, bus=bus)
    ET.SubElement(element, "readonly")
    ET.SubElement(element, "alias", name=f"ua-{name}")
    return element


def _add_controllers(root: ET.Element, plan: DomainPlan) -> None:
    """One virtio-scsi controller always, so that a disk can be added while the guest runs; PCI ports for all and spare ones."""
    on_pci = sum(disk.bus is DiskBus.VIRTIO for disk in plan.spec.disks) + len(plan.spec.nics)
    always = 7  # scsi, virtio-serial, xhci, screen, balloon, rng, and SATA where the machine has none on board
    ET.SubElement(root, "controller", type="pci", index="0", model="pcie-root")
    for index in range(1, on_pci + always + SPARE_PORTS + 1):
        ET.SubElement(root, "controller", type="pci", index=str(index), model="pcie-root-port")
    ET.SubElement(root, "controller", type="usb", index="0", model="qemu-xhci")
    ET.SubElement(root, "controller", type="scsi", index="0", model="virtio-scsi")
    ET.SubElement(root, "controller", type="virtio-serial", index="0")


def _add_nic(root: ET.Element, nic: Nic, index: int, order: int) -> None:
    if nic.model not in NIC_MODELS:
        raise invalid_field(f"nics[{index}].model", f"one of {', '.join(sorted(NIC_MODELS))}")
    if nic.bridge is not None and not _LINK_NAME.match(nic.bridge):
        raise invalid_field(f"nics[{index}].bridge", "1 to 15 printable characters without '/' and blanks")
    if nic.bridge is None and nic.vnet is not None:
        raise HostLacks(f"nics[{index}].vnet: this node has no virtual network {nic.vnet}", vnet=nic.vnet)
    element = ET.SubElement(root, "interface", type="user" if nic.bridge is None else "bridge")
    ET.SubElement(element, "mac", address=nic.mac)
    if nic.bridge is not None:
        ET.SubElement(element, "source", bridge=nic.bridge)
    ET.SubElement(element, "model", type=nic.model)
    ET.SubElement(element, "boot", order=str(order))
    ET.SubElement(element, "alias", name=f"ua-net{index}")


def _add_consoles(root: ET.Element, plan: DomainPlan, host: HostFacts) -> None:
    """The serial line, which is also the guest's console, and the guest agent's channel."""
    serial = ET.SubElement(root, "serial", type="unix")
    ET.SubElement(serial, "source", mode="bind", path=serial_socket(host.runtime_dir, plan.vm_id))
    if host.has_virtlogd:
        ET.SubElement(serial, "log", file=serial_log(host.state_dir, plan.vm_id), append="on")
    ET.SubElement(serial, "target", port="0")
    channel = ET.SubElement(root, "channel", type="unix")
    ET.SubElement(channel, "source", mode="bind")
    ET.SubElement(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
    screen = ET.SubElement(root, "graphics", type="vnc", sharePolicy="force-shared")
    ET.SubElement(screen, "listen", type="socket", socket=vnc_socket(host.runtime_dir, plan.vm_id))


def _add_screen(root: ET.Element, architecture: Architecture) -> None:
    """Standard VGA shows SeaBIOS, OVMF, GRUB and a kernel's text console without a driver of its own. The other machines
    have no VGA text mode; there virtio-gpu is what firmware and kernels draw on. The tablet gives absolute positions.

    On x86 the keyboard is the machine's own PS/2 one: QEMU gives every key to a USB keyboard as soon as there is one, and
    kernels without USB (Debian's for clouds) would never see it.
    """
    video = ET.SubElement(root, "video")
    if architecture is Architecture.X86_64:
        ET.SubElement(video, "model", type="vga", vram="16384", heads="1", primary="yes")
    else:
        ET.SubElement(video, "model", type="virtio", heads="1", primary="yes")
    ET.SubElement(root, "input", type="tablet", bus="usb")
    if architecture is not Architecture.X86_64:
        ET.SubElement(root, "input", type="keyboard", bus="usb")
