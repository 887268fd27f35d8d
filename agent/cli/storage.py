"""`horcrux storage`: the pools that volumes and images live in."""

from typing import Annotated

import typer

from agent.cli.client import Document, path_of
from agent.cli.command import Cli, command, complete_ids, noun
from agent.cli.output import field, size

app = noun("Pools, where volumes and images live.")
PoolId = Annotated[str, typer.Argument(metavar="POOL", autocompletion=complete_ids("storage"))]
Pool = Annotated[str, typer.Option("--pool", help="The pool.", autocompletion=complete_ids("storage"))]


def _state(row: Document) -> str:
    """`ok`, or why the host cannot reach it."""
    return "ok" if row.get("is_active", True) else str(row.get("reason") or "failed")


@command(app, "list", alias="ls")
def list_pools(cli: Cli) -> None:
    """List pools with their sizes."""
    columns = [field("id", "id"), field("type", "storage_type"), size("available", "available_bytes")]
    columns += [size("total", "total_bytes"), ("state", _state), field("node", "node"), field("folder", "target")]
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
    body = {"id": pool, "storage_type": kind, "target": target} | ({"name": name} if name else {})
    cli.work("POST", path_of("storage"), f"pool {pool} is made", body=body)


@command(app, "delete", task=True, asks=True, alias="rm")
def delete_pool(cli: Cli, pool: PoolId) -> None:
    """Forget a pool; what lies in it stays on the disk. Refused while a VM uses it."""
    cli.confirm(f"Forget pool {pool}?")
    cli.work("DELETE", path_of("storage", pool), f"pool {pool} is forgotten")
