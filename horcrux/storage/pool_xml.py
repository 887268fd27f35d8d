"""Pools in libvirt's XML (libvirt.org/formatstorage.html), written and read without libvirt."""

import xml.etree.ElementTree as ET

from horcrux.errors import Unreachable


def dir_pool_xml(name: str, target: str) -> str:
    pool = ET.Element("pool", type="dir")
    ET.SubElement(pool, "name").text = name
    ET.SubElement(ET.SubElement(pool, "target"), "path").text = target
    return ET.tostring(pool, encoding="unicode")


def pool_target(xml: str) -> str:
    """Folder of the pool that libvirt describes by `xml`."""
    return _parse(xml).findtext("target/path", "")


def _parse(xml: str) -> ET.Element:
    try:
        return ET.fromstring(xml)  # noqa: S314 - libvirt's own words, from a local socket of root's
    except ET.ParseError as err:
        raise Unreachable(f"libvirt described a pool or volume in XML that cannot be read: {err}") from err
