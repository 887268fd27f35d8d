"""`horcrux storage`: the pools that volumes and images live in."""

from typing import Annotated

import typer

from agent.cli.client import Document, path_of
from agent.cli.command import Cli, command, complete_ids, noun
from agent.cli.exits import CliError, Exit
from agent.cli.output import field, size

app = noun("Pools, where volumes and images live.")
PoolId = Annotated[str, typer.Argument(metavar="POOL", autocompletion=complete_ids("storage"))]
Pool = Annotated[str, typer.Option("--pool", help="The pool.", autocompletion=complete_ids("storage"))]


def _state(row: Document) -> str:
    """`good`, or what is wrong with it."""
    if not row.get("is_active", True):
        return str(row.get("reason") or "failed")
    problems = row.get("problems")
    words = "; ".join(str(problem) for problem in problems) if isinstance(problems, list) else ""
    health = str(row.get("health", "good"))
    return f"{health}: {words}" if words else health


@command(app, "list", alias="ls")
def list_pools(cli: Cli) -> None:
    """List pools with their sizes."""
    columns = [field("id", "id"), field("type", "storage_type"), size("available", "available_bytes")]
    columns += [size("total", "total_bytes"), ("state", _state), field("node", "node"), field("stands on", "target")]
    cli.rows(cli.client().get(path_of("storage")).rows, columns)


@command(app, "show")
def show_pool(cli: Cli, pool: PoolId) -> None:
    """Show a pool."""
    cli.one(cli.client().get(path_of("storage", pool)).document)


@command(app, "create", task=True)
def create_pool(
    cli: Cli,
    pool: Annotated[str, typer.Argument(metavar="POOL")],
    target: Annotated[
        str,
        typer.Option(help="Folder (dir), HOST:PATH (nfs), dataset (zfs), volume group (lvm), IQN (iscsi), pool (rbd)."),
    ],
    kind: Annotated[str, typer.Option("--type", help="dir, zfs, nfs, lvm, iscsi or rbd")] = "dir",
    name: Annotated[str | None, typer.Option(help="For people; else the id.")] = None,
    option: Annotated[list[str] | None, typer.Option("--option", help="KEY=VALUE, of its type; repeat it.")] = None,
) -> None:
    """Make a pool."""
    body: dict[str, object] = {"id": pool, "storage_type": kind, "target": target}
    if name:
        body["name"] = name
    if option:
        body["options"] = dict(_pair(word) for word in option)
    cli.work("POST", path_of("storage"), f"pool {pool} is made", body=body)


def _pair(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals or not key:
        raise CliError(f"{word!r} is not KEY=VALUE", Exit.USAGE, "for instance: --option compression=zstd")
    return key, value


@command(app, "found")
def list_found(cli: Cli) -> None:
    """List what of this host pools could be made on: zpools, volume groups."""
    columns = [field("type", "storage_type"), field("target", "target"), size("available", "available_bytes")]
    columns += [size("total", "total_bytes"), ("state", _state), field("pool", "pool")]
    cli.rows(cli.client().get(path_of("storage", "found")).rows, columns)


@command(app, "delete", task=True, asks=True, alias="rm")
def delete_pool(cli: Cli, pool: PoolId) -> None:
    """Forget a pool; what lies in it stays on the disk. Refused while a VM uses it."""
    cli.confirm(f"Forget pool {pool}?")
    cli.work("DELETE", path_of("storage", pool), f"pool {pool} is forgotten")
