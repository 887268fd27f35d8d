"""`horcrux vm disk`: the disks of a VM, moved and grown."""

from typing import Annotated

import typer

from agent.cli.client import Document, path_of
from agent.cli.command import Cli, by_name, command, complete_ids, noun
from agent.cli.output import field
from agent.cli.vm import VmId
from agent.cli.volume import Gib

app = noun("Disks of VMs.")
DiskName = Annotated[str, typer.Argument(metavar="DISK", help="disk0, disk1, …")]


@command(app, "list", alias="ls")
def list_disks(cli: Cli, vm: VmId) -> None:
    """List the disks of a VM, with where they lie."""
    columns = [field("name", "name"), field("pool", "storage_pool"), field("volume", "volume"), ("size", _size)]
    columns += [field("format", "format"), field("bus", "bus"), field("base", "base")]
    document = by_name(cli, vm, lambda id_: cli.client().get(path_of("vms", id_)).document)
    disks = document.get("disks")
    cli.rows([disk for disk in disks if isinstance(disk, dict)] if isinstance(disks, list) else [], columns)


def _size(row: Document) -> str:
    return f"{row.get('size_gb', '-')} GiB"


@command(app, "move", task=True)
def move_disk(
    cli: Cli,
    vm: VmId,
    disk: DiskName,
    pool: Annotated[str, typer.Option("--pool", help="Where to.", autocompletion=complete_ids("storage"))],
    format_: Annotated[
        str | None, typer.Option("--format", help="qcow2 or raw; else as it is, where the pool can.")
    ] = None,
) -> None:
    """Move a disk to another pool, also while the guest runs."""
    body = {"storage_pool": pool} | ({"format": format_} if format_ else {})
    sentence = f"{disk} of VM {vm} is in pool {pool}"
    by_name(cli, vm, lambda id_: cli.work("POST", path_of("vms", id_, "disks", disk, "move"), sentence, body=body))


@command(app, "resize", task=True)
def resize_disk(cli: Cli, vm: VmId, disk: DiskName, size_gb: Gib) -> None:
    """Make a disk larger, also while the guest runs; it is never made smaller."""
    path, sentence = ("disks", disk, "resize"), f"{disk} of VM {vm} has {size_gb:g} GiB"
    body = {"size_gb": size_gb}
    by_name(cli, vm, lambda id_: cli.work("POST", path_of("vms", id_, *path), sentence, body=body))
