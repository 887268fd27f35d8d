"""`horcrux vm snapshot`: a VM's earlier states, as a tree."""

import time
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from agent.cli.client import Document, path_of
from agent.cli.command import Cli, by_name, command, complete_ids, noun
from agent.cli.output import Format, cell, has_colour, human_size

app = noun("Snapshots of a VM.")
VmId = Annotated[str, typer.Argument(metavar="VM", autocompletion=complete_ids("vms"))]
Name = Annotated[str, typer.Argument(metavar="SNAPSHOT")]

_UNITS = ((86400 * 365, "y"), (86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


class FreezeName(StrEnum):
    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@command(app, "list", alias="ls")
def list_snapshots(cli: Cli, vm: VmId) -> None:
    """Show the snapshots of a VM as a tree, with age and size."""
    rows = by_name(cli, vm, lambda id_: cli.client().get(path_of("vms", id_, "snapshots")).rows)
    if cli.output is Format.TABLE:
        print(tree_text(vm, rows, time.time(), colour=has_colour()))
    else:
        cli.rows(rows, [])


@command(app, "create", task=True)
def create_snapshot(
    cli: Cli,
    vm: VmId,
    name: Name,
    *,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    memory: Annotated[
        bool, typer.Option("--memory", help="With the guest's memory: it goes on there after a revert.")
    ] = False,
    freeze: Annotated[
        FreezeName, typer.Option(help="Freeze file systems: when an agent answers, or else refuse, or do not.")
    ] = FreezeName.AUTO,
) -> None:
    """Take a snapshot of all disks of a VM, running or not."""
    body = {"name": name, "description": description, "memory": memory, "freeze": freeze.value}
    said = f"snapshot {name} of VM {vm} is taken"
    by_name(cli, vm, lambda id_: cli.work("POST", path_of("vms", id_, "snapshots"), said, body=body))


@command(app, "delete", task=True, asks=True, alias="rm")
def delete_snapshot(cli: Cli, vm: VmId, name: Name) -> None:
    """Delete a snapshot; the VM and its other snapshots do not change."""
    cli.confirm(f"Delete snapshot {name} of VM {vm}?")
    said = f"snapshot {name} of VM {vm} is deleted"
    by_name(cli, vm, lambda id_: cli.work("DELETE", path_of("vms", id_, "snapshots", name), said))


@command(app, "revert", task=True, asks=True)
def revert_to_snapshot(
    cli: Cli,
    vm: VmId,
    name: Name,
    start: Annotated[bool | None, typer.Option("--start/--no-start", help="Else as it was at the snapshot.")] = None,
) -> None:
    """Bring a VM back to a snapshot; a running one is stopped at once."""
    cli.confirm(f"Bring VM {vm} back to snapshot {name}? What was written since is lost.")
    said = f"VM {vm} is back at snapshot {name}"
    path = ("snapshots", name, "revert")
    by_name(cli, vm, lambda id_: cli.work("POST", path_of("vms", id_, *path), said, body={"start": start}))


def tree_text(vm: str, rows: Sequence[Document], now: float, *, colour: bool) -> str:
    """The tree, each snapshot below its parent, `you are here` below the one that the VM stands on."""
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text(vm, style="bold"))
    branches: dict[str, Tree] = {}
    here = tree
    for row in rows:  # oldest first, so that a parent comes before its children
        branch = branches.get(str(row.get("parent")), tree).add(Text(_line(row, now)))
        branches[str(row.get("name"))] = branch
        here = branch if row.get("is_current") else here
    here.add(Text("you are here", style="green"))
    width = max(len(_line(row, now)) for row in rows) + 4 * len(rows) + 8 if rows else 80
    console = Console(width=width, color_system="standard" if colour else None, force_terminal=colour, highlight=False)
    with console.capture() as drawn:
        console.print(tree)
    return "\n".join(line.rstrip() for line in drawn.get().splitlines())


def _line(row: Document, now: float) -> str:
    words = [str(row.get("name")), f"{_age(row.get('created_at'), now)} ago"]
    if isinstance(row.get("size_bytes"), int):
        words.append(human_size(row.get("size_bytes")))
    if row.get("state") != "ready":
        words.append(cell(row.get("state")))
    if row.get("has_memory"):
        words.append("with memory")
    elif row.get("was_running"):
        words.append("frozen" if row.get("is_consistent") else "as after a power cut")
    text = "  ".join(words) + (f"  {row['description']}" if row.get("description") else "")
    return "".join(char if char.isprintable() else "?" for char in text)


def _age(created_at: object, now: float) -> str:
    if not isinstance(created_at, int | float):
        return "-"
    seconds = max(0, int(now - created_at))
    for unit_s, unit in _UNITS:
        if seconds >= unit_s:
            return f"{seconds // unit_s} {unit}"
    return "0 s"
