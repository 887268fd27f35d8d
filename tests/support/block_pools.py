"""Volume groups on files and exports of a server of its own, for tests that run where LVM and NFS are: in guests of the lab."""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from horcrux.ids import NodeId, PoolId
from horcrux.storage.pool import PoolDocument, PoolType
from horcrux.storage.pool_options import check_pool
from tests.support.shell import sh

NODE = NodeId("n0a0b0c0d")
THIN_POOL = "thin0"


def pool_on(storage_type: PoolType, name: str, target: str, **options: str) -> PoolDocument:
    kept, checked = check_pool(storage_type, target, options)
    return PoolDocument(
        id=PoolId(name),
        name=name.title(),
        storage_type=storage_type,
        node=NODE,
        target=kept,
        options=checked,
        created_at=1.0,
    )


@asynccontextmanager
async def volume_group(folder: Path, *, size_mib: int = 1024, has_thin_pool: bool = False) -> AsyncIterator[str]:
    """Name of a volume group of its own, on a sparse file that reads as old data where nobody has written; gone afterwards."""
    name, file = "t" + secrets.token_hex(4), folder / f"pv-{secrets.token_hex(4)}"
    await sh(f"truncate -s {size_mib}M {file}")
    device = (await sh(f"losetup --find --show {file}")).strip()
    try:
        await sh(f"vgcreate -q {name} {device}")
        if has_thin_pool:
            await sh(f"lvcreate -q -y --type thin-pool -n {THIN_POOL} -L {size_mib - 64}M {name}")
        yield name
    finally:
        await sh(f"vgremove -q -f -y {name}; losetup -d {device}; rm {file}")


@asynccontextmanager
async def exports(folder: Path, names: Sequence[str]) -> AsyncIterator[list[str]]:
    """Targets of NFS exports of this host's own server, one a name; no export afterwards."""
    await sh("systemctl start nfs-server")
    targets = []
    for name in names:
        await sh(
            f"mkdir {folder}/{name} && exportfs -o rw,no_root_squash,insecure,no_subtree_check 127.0.0.1:{folder}/{name}"
        )
        targets.append(f"127.0.0.1:{folder}/{name}")
    try:
        yield targets
    finally:
        for target in targets:
            await sh(f"exportfs -u {target}")
