"""`horcrux storage`: the pools that volumes and images live in."""

from typing import Annotated

import typer

from agent.cli.client import Document, path_of
from agent.cli.command import Cli, command, complete_ids, noun
from agent.cli.output import field

app = noun("Pools, where volumes and images live.")
PoolId = Annotated[str, typer.Argument(metavar="POOL", autocompletion=complete_ids("storage"))]
Pool = Annotated[str, typer.Option("--pool", help="The pool.", autocompletion=complete_ids("storage"))]


def _amount(row: Document, name: str) -> str:
    value = row.get(name)
    return f"{value:g} GiB" if isinstance(value, int | float) else "-"


@command(app, "list", alias="ls")
def list_pools(cli: Cli) -> None:
    """List pools with their sizes."""
    columns = [field("id", "id"), field("type", "storage_type"), ("available", lambda row: _amount(row, "available"))]
    columns += [("total", lambda row: _amount(row, "total")), field("name", "name")]
    cli.rows(cli.client().get(path_of("storage")).rows, columns)


@command(app, "show")
def show_pool(cli: Cli, pool: PoolId) -> None:
    """Show a pool."""
    cli.one(cli.client().get(path_of("storage", pool)).document)


@command(app, "create", task=True)
def create_pool(
    cli: Cli,
    pool: Annotated[str, typer.Argument(metavar="POOL")],
    target: Annotated[str, typer.Option(help="The folder, for a directory pool.")],
    kind: Annotated[str, typer.Option("--type", help="dir")] = "dir",
    name: Annotated[str | None, typer.Option(help="For people; else the id.")] = None,
) -> None:
    """Make a pool."""
    body = {"id": pool, "name": name or pool, "storage_type": kind, "target": target}
    cli.work("POST", path_of("storage"), f"pool {pool} is made", body=body)


@command(app, "delete", task=True, asks=True, alias="rm")
def delete_pool(cli: Cli, pool: PoolId) -> None:
    """Forget a pool; what lies in it stays on the disk. Refused while a VM uses it."""
    cli.confirm(f"Forget pool {pool}?")
    cli.work("DELETE", path_of("storage", pool), f"pool {pool} is forgotten")
