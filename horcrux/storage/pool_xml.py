"""Pools and what is in them in libvirt's XML (libvirt.org/formatstorage.html), written and read without libvirt.

libvirt serves four of our types: `dir`, `netfs` (our nfs), `iscsi` and `rbd`. LVM and ZFS have drivers of their own.
"""

import uuid
import xml.etree.ElementTree as ET

import msgspec

from horcrux.errors import HostLacks, Unreachable
from horcrux.storage.network_source import split_host
from horcrux.storage.pool import PoolDocument, PoolType
from horcrux.storage.pool_options import split_export

_SECRETS = uuid.UUID("6dc7c16c-6f0e-5d5f-9a35-7d3c1d0b7a11")
"""Name space of the ids below."""


class VolumeXml(msgspec.Struct, frozen=True, kw_only=True):
    """What libvirt says of one volume of a pool that is no folder."""

    name: str
    path: str
    capacity_bytes: int
    allocation_bytes: int


def pool_xml(pool: PoolDocument, name: str, folder: str) -> str:
    """The pool as libvirt is to have it under `name`; `folder` is where its files or devices appear."""
    root = ET.Element("pool", type="netfs" if pool.storage_type is PoolType.NFS else pool.storage_type.value)
    ET.SubElement(root, "name").text = name
    match pool.storage_type:
        case PoolType.DIR:
            pass
        case PoolType.NFS:
            _add_nfs(root, pool)
        case PoolType.ISCSI:
            _add_iscsi(root, pool, name)
        case PoolType.RBD:
            _add_rbd(root, pool, name)
        case PoolType.LVM | PoolType.ZFS:
            raise HostLacks(f"pool {pool.id}: pools of type {pool.storage_type} are none of libvirt's here")
    if pool.storage_type is not PoolType.RBD:
        ET.SubElement(ET.SubElement(root, "target"), "path").text = folder
    return ET.tostring(root, encoding="unicode")


def same_place(ours: str, theirs: str) -> bool:
    """Whether libvirt's description leads where ours does, whatever else it tells of the pool."""
    return _facts(_parse(ours)) == _facts(_parse(theirs))


def pool_target(xml: str) -> str:
    """Folder of the pool that libvirt describes by `xml`."""
    return _parse(xml).findtext("target/path", "")


def secret_id(name: str) -> str:
    """UUID of libvirt's secret for the pool that libvirt calls `name`; the same one each time."""
    return str(uuid.uuid5(_SECRETS, name))


def secret_xml(pool: PoolDocument, name: str) -> str:
    """The secret for the pool's user: never on disk, never told again."""
    kind = "ceph" if pool.storage_type is PoolType.RBD else "iscsi"
    root = ET.Element("secret", ephemeral="yes", private="yes")
    ET.SubElement(root, "uuid").text = secret_id(name)
    ET.SubElement(root, "description").text = f"of pool {pool.id}"
    usage = ET.SubElement(root, "usage", type=kind)
    ET.SubElement(usage, "name" if kind == "ceph" else "target").text = name
    return ET.tostring(root, encoding="unicode")


def image_xml(name: str, capacity_bytes: int) -> str:
    """A thin image of an rbd pool."""
    volume = ET.Element("volume")
    ET.SubElement(volume, "name").text = name
    ET.SubElement(volume, "capacity", unit="bytes").text = str(capacity_bytes)
    ET.SubElement(volume, "allocation", unit="bytes").text = "0"
    ET.SubElement(ET.SubElement(volume, "target"), "format", type="raw")
    return ET.tostring(volume, encoding="unicode")


def read_volume(xml: str) -> VolumeXml:
    volume = _parse(xml)
    return VolumeXml(
        name=volume.findtext("name", ""),
        path=volume.findtext("target/path", ""),
        capacity_bytes=int(volume.findtext("capacity", "0")),
        allocation_bytes=int(volume.findtext("allocation", "0")),
    )


def _add_nfs(root: ET.Element, pool: PoolDocument) -> None:
    """Mounted with nodev, nosuid and noexec, which is libvirt's own default."""
    host, folder = split_export(pool.target)
    source = ET.SubElement(root, "source")
    _add_host(source, host)
    ET.SubElement(source, "dir", path=folder)
    ET.SubElement(source, "format", type="nfs")
    if "version" in pool.options:
        ET.SubElement(source, "protocol", ver=pool.options["version"])


def _add_iscsi(root: ET.Element, pool: PoolDocument, name: str) -> None:
    source = ET.SubElement(root, "source")
    _add_host(source, pool.options["portal"])
    ET.SubElement(source, "device", path=pool.target)
    if "initiator" in pool.options:
        ET.SubElement(ET.SubElement(source, "initiator"), "iqn", name=pool.options["initiator"])
    _add_auth(source, pool, name, "chap")


def _add_rbd(root: ET.Element, pool: PoolDocument, name: str) -> None:
    source = ET.SubElement(root, "source")
    for monitor in pool.options["monitors"].split(","):
        _add_host(source, monitor)
    ET.SubElement(source, "name").text = pool.target
    _add_auth(source, pool, name, "ceph")


def _add_host(source: ET.Element, host: str) -> None:
    address, port = split_host(host)
    ET.SubElement(source, "host", {"name": address} | ({} if port is None else {"port": port}))


def _add_auth(source: ET.Element, pool: PoolDocument, name: str, kind: str) -> None:
    if "user" in pool.options:
        auth = ET.SubElement(source, "auth", type=kind, username=pool.options["user"])
        ET.SubElement(auth, "secret", uuid=secret_id(name))


def _facts(root: ET.Element) -> set[tuple[str, ...]]:
    """Every text and attribute of source and target, with the element it stands in."""
    facts: set[tuple[str, ...]] = {("pool", "type", root.get("type", ""))}
    for element in (*root.iterfind("source//*"), *root.iterfind("target/path")):
        facts.update((element.tag, key, value) for key, value in element.items())
        if element.text and element.text.strip():
            facts.add((element.tag, element.text.strip()))
    return facts


def _parse(xml: str) -> ET.Element:
    try:
        return ET.fromstring(xml)  # noqa: S314 - libvirt's own words, from a local socket of root's
    except ET.ParseError as err:
        raise Unreachable(f"libvirt described a pool or volume in XML that cannot be read: {err}") from err
