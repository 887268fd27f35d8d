"""Pools and volumes in libvirt's XML (libvirt.org/formatstorage.html), written and read without libvirt."""

import xml.etree.ElementTree as ET

import msgspec

from horcrux.errors import Unreachable


class VolumeXml(msgspec.Struct, frozen=True, kw_only=True):
    """What libvirt says of one file of a pool. `format` and `capacity_bytes` are what it found in the file's content."""

    name: str
    is_file: bool
    path: str
    format: str
    capacity_bytes: int
    allocation_bytes: int
    physical_bytes: int


def dir_pool_xml(name: str, target: str) -> str:
    pool = ET.Element("pool", type="dir")
    ET.SubElement(pool, "name").text = name
    ET.SubElement(ET.SubElement(pool, "target"), "path").text = target
    return ET.tostring(pool, encoding="unicode")


def pool_target(xml: str) -> str:
    """Folder of the pool that libvirt describes by `xml`."""
    return _parse(xml).findtext("target/path", "")


def volume_xml(file: str, capacity_bytes: int, format_: str) -> str:
    """A thin volume that only root may read (libvirt hands it to QEMU's user while a VM runs)."""
    volume = ET.Element("volume")
    ET.SubElement(volume, "name").text = file
    ET.SubElement(volume, "capacity", unit="bytes").text = str(capacity_bytes)
    ET.SubElement(volume, "allocation", unit="bytes").text = "0"
    target = ET.SubElement(volume, "target")
    ET.SubElement(target, "format", type=format_)
    ET.SubElement(ET.SubElement(target, "permissions"), "mode").text = "0600"
    if format_ == "qcow2":
        ET.SubElement(target, "compat").text = "1.1"
    return ET.tostring(volume, encoding="unicode")


def read_volume(xml: str) -> VolumeXml:
    volume = _parse(xml)
    format_ = volume.find("target/format")
    capacity = int(volume.findtext("capacity", "0"))
    return VolumeXml(
        name=volume.findtext("name", ""),
        is_file=volume.get("type", "file") == "file",
        path=volume.findtext("target/path", ""),
        format="" if format_ is None else format_.get("type", ""),
        capacity_bytes=capacity,
        allocation_bytes=int(volume.findtext("allocation", "0")),
        physical_bytes=int(volume.findtext("physical", "") or capacity),
    )


def _parse(xml: str) -> ET.Element:
    try:
        return ET.fromstring(xml)  # noqa: S314 - libvirt's own words, from a local socket of root's
    except ET.ParseError as err:
        raise Unreachable(f"libvirt described a pool or volume in XML that cannot be read: {err}") from err
