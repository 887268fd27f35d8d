"""`horcrux volume`: disks in a pool."""

from typing import Annotated

import typer

from agent.cli.client import path_of
from agent.cli.command import Cli, command, noun
from agent.cli.output import cell, field, human_size
from agent.cli.storage import Pool

app = noun("Volumes: the disks of VMs.")
Name = Annotated[str, typer.Argument(metavar="VOLUME")]
Gib = Annotated[float, typer.Option("--size", min=0.001, help="GiB")]


@command(app, "list", alias="ls")
def list_volumes(cli: Cli, pool: Pool = "local") -> None:
    """List the volumes of a pool, with who uses them."""
    columns = [field("name", "name"), field("format", "format")]
    columns += [("size", lambda row: _size(row.get("size_gb"), row.get("capacity_bytes")))]
    columns += [("used", lambda row: human_size(row.get("allocation_bytes"))), ("by", _user)]
    cli.rows(cli.client().get(path_of("storage", pool, "volumes")).rows, columns)


def _size(gib: object, capacity: object) -> str:
    return f"{gib:g} GiB" if isinstance(gib, int | float) else human_size(capacity)


def _user(row: dict[str, object]) -> str:
    used = row.get("used_by") or row.get("in_use_by") or row.get("vm_id")
    if isinstance(used, dict):
        return cell(used.get("vm_id"))
    if isinstance(used, list):
        return cell([str(each.get("vm_id")) if isinstance(each, dict) else str(each) for each in used])
    return cell(used)


@command(app, "create", task=True)
def create_volume(cli: Cli, name: Name, size: Gib, pool: Pool = "local") -> None:
    """Make an empty volume."""
    body = {"name": name, "size_gb": size}
    cli.work("POST", path_of("storage", pool, "volumes"), f"volume {name} is made", body=body)


@command(app, "resize", task=True)
def resize_volume(cli: Cli, name: Name, size: Gib, pool: Pool = "local") -> None:
    """Make a volume larger; it is never made smaller."""
    path = path_of("storage", pool, "volumes", name, "resize")
    cli.work("POST", path, f"volume {name} holds {size:g} GiB", body={"size_gb": size})


@command(app, "delete", task=True, asks=True, alias="rm")
def delete_volume(cli: Cli, name: Name, pool: Pool = "local") -> None:
    """Delete a volume and what is on it. Refused while a VM uses it."""
    cli.confirm(f"Delete volume {name} of pool {pool}? What is on it is lost.")
    cli.work("DELETE", path_of("storage", pool, "volumes", name), f"volume {name} is deleted")
