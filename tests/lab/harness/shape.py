"""What a lab is made of, and what its keeper is told."""

from pathlib import Path

import msgspec

REPOSITORY = Path(__file__).resolve().parents[3]


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """The guests n1…n3 of one lab, all alike."""

    guests: int = 1
    mem_mib: int = 1024
    """ZFS and libvirt with one small nested VM fit in 1024; each further nested VM takes its own memory and 150 MiB more."""
    cpus: int = 2
    """With more than one guest the machine's own processors are soon fought over: prefer 1."""
    disks: tuple[str, ...] = ("4G",)
    """Sizes of /dev/vdb, /dev/vdc, …: empty and sparse. ZFS wants 64M at least."""
    segments: int = 1
    """Layer-2 networks between the guests: eth1 is 10.77.0.K/24, eth2 10.77.1.K/24, …"""
    share: str = ""
    """A folder of this machine, read-only at /host in the guests."""
    online: bool = False
    """Let guests out through this machine."""
    kvm: bool = True
    """Whether the guest's processor can virtualise, so that it has a /dev/kvm; TCG emulates that."""
    ttl_s: int = 7200
    """After so long everything ends by itself."""
    wait_s: int = 600
    """How long a guest may take to boot."""
    append: str = ""
    """More words for the guest's kernel."""
    qemu: str = ""
    """More words for QEMU."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """`run.json` of a run's folder."""

    shape: Shape
    image: str
    run_id: str
    """16 hexadecimal digits; machine ids and ZFS host ids come from it."""
    owner: int = 0
    """Process that the lab must not outlive; 0: only the time to live ends it."""
