"""The `<source>` of a disk (libvirt.org/formatdomain.html): a file, a block device, or an image behind a protocol.

No `<backingStore>` is written: libvirt looks through the chain itself when the guest starts, in the formats that the headers
name, and labels every file of it. Only the chain's head is the VM's; a base is opened read-only.
"""

from typing import assert_never
from xml.etree import ElementTree as ET

from horcrux.compute.domain import DomainDisk
from horcrux.storage.network_source import NetworkSource, split_host
from horcrux.storage.volume import VolumeKind


def add_source(disk: ET.Element, opened: DomainDisk) -> ET.Element:
    """The disk has the source that leads to what `opened` names, and the type that goes with it."""
    disk.set("type", opened.kind)
    match opened.kind:
        case VolumeKind.FILE:
            return ET.SubElement(disk, "source", file=opened.path)
        case VolumeKind.BLOCK:
            return ET.SubElement(disk, "source", dev=opened.path)
        case VolumeKind.NETWORK:
            return _add_network(disk, opened.path, opened.network or NetworkSource())
    assert_never(opened.kind)


def _add_network(disk: ET.Element, path: str, network: NetworkSource) -> ET.Element:
    protocol, name, *_ = path.split(":")
    source = ET.SubElement(disk, "source", protocol=protocol, name=name)
    for host in network.hosts:
        address, port = split_host(host)
        ET.SubElement(source, "host", {"name": address} | ({} if port is None else {"port": port}))
    if network.secret is not None:
        auth = ET.SubElement(source, "auth", username=network.user or "")
        ET.SubElement(auth, "secret", type="ceph" if protocol == "rbd" else protocol, uuid=network.secret)
    return source
