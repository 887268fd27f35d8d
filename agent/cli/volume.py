"""`horcrux volume`: disks in a pool."""

from typing import Annotated

import typer

from agent.cli.client import Document, path_of
from agent.cli.command import Cli, command, noun
from agent.cli.exits import CliError, Exit
from agent.cli.output import field, moment, size
from agent.cli.storage import Pool

app = noun("Volumes: the disks of VMs.")
Name = Annotated[str, typer.Argument(metavar="VOLUME")]
Gib = Annotated[float, typer.Option("--size", min=0.001, help="GiB")]


@command(app, "list", alias="ls")
def list_volumes(cli: Cli, pool: Pool = "local") -> None:
    """List the volumes of a pool, with who uses them."""
    columns = [field("name", "name"), field("format", "format"), size("size", "capacity_bytes")]
    columns += [size("used", "allocation_bytes"), field("clone of", "base"), ("by", _user)]
    cli.rows(cli.client().get(path_of("storage", pool, "volumes")).rows, columns)


def _user(row: Document) -> str:
    used = row.get("used_by")
    if not isinstance(used, dict):
        return "-"
    holder = f"template {used['template']}" if used.get("template") else used.get("vm_id")
    return f"{holder} ({used.get('disk')})"


@command(app, "snapshots")
def list_snapshots(cli: Cli, name: Name, pool: Pool = "local") -> None:
    """List the snapshots of a volume, oldest first."""
    columns = [field("name", "name"), moment("made", "created_at"), size("own space", "used_bytes")]
    cli.rows(cli.client().get(path_of("storage", pool, "volumes", name, "snapshots")).rows, columns)


@command(app, "create", task=True)
def create_volume(
    cli: Cli,
    name: Name,
    *,
    size_gb: Annotated[
        float | None, typer.Option("--size", min=0.001, help="GiB; with --image its own if left out.")
    ] = None,
    image: Annotated[str | None, typer.Option(help="Begin from this image of the pool.")] = None,
    format_: Annotated[str | None, typer.Option("--format", help="qcow2 or raw; else what the pool makes.")] = None,
    is_sparse: Annotated[
        bool | None, typer.Option("--sparse/--thick", help="ZFS: take space when it is written to.")
    ] = None,
    block_kib: Annotated[float | None, typer.Option("--block-size", min=0.5, help="ZFS: KiB.")] = None,
    compression: Annotated[str | None, typer.Option(help="ZFS: lz4, zstd, off, …")] = None,
    pool: Pool = "local",
) -> None:
    """Make a volume, empty or from an image."""
    if size_gb is None and image is None:
        raise CliError("the volume needs a size", Exit.USAGE, "give --size GIB or --image NAME")
    options = _given(
        is_sparse=is_sparse,
        block_size_bytes=None if block_kib is None else int(block_kib * 1024),
        compression=compression,
    )
    body = {"name": name} | _given(size_gb=size_gb, image=image, format=format_, options=options or None)
    cli.work("POST", path_of("storage", pool, "volumes"), f"volume {name} is made", body=body)


def _given(**values: object) -> dict[str, object]:
    """What is not None."""
    return {key: value for key, value in values.items() if value is not None}


@command(app, "resize", task=True)
def resize_volume(cli: Cli, name: Name, size_gb: Gib, pool: Pool = "local") -> None:
    """Make a volume larger; it is never made smaller."""
    path = path_of("storage", pool, "volumes", name, "resize")
    cli.work("POST", path, f"volume {name} holds {size_gb:g} GiB", body={"size_gb": size_gb})


@command(app, "delete", task=True, asks=True, alias="rm")
def delete_volume(cli: Cli, name: Name, pool: Pool = "local") -> None:
    """Delete a volume and what is on it. Refused while a VM uses it."""
    cli.confirm(f"Delete volume {name} of pool {pool}? What is on it is lost.")
    cli.work("DELETE", path_of("storage", pool, "volumes", name), f"volume {name} is deleted")
