"""`horcrux quota`: how much may be provisioned, by pool and by user."""

from collections.abc import Callable
from typing import Annotated

import typer

from agent.cli.client import Document, path_of
from agent.cli.command import Cli, command, complete_ids, noun
from agent.cli.exits import CliError, Exit
from agent.cli.output import field, size

app = noun("Quotas: how much may be provisioned, by pool and by user.")
QuotaId = Annotated[str, typer.Argument(metavar="QUOTA", autocompletion=complete_ids("quotas"))]


@command(app, "list", alias="ls")
def list_quotas(cli: Cli) -> None:
    """List quotas, with what is taken of them."""
    columns = [field("id", "id"), ("pool", _all("pool")), ("user", _all("user")), size("used", "used_bytes")]
    columns += [size("limit", "limit_bytes"), ("taken", _share)]
    cli.rows(cli.client().get(path_of("quotas")).rows, columns)


def _all(name: str) -> Callable[[Document], str]:
    return lambda row: str(row.get(name) or "all")


def _share(row: Document) -> str:
    used, limit = row.get("used_bytes"), row.get("limit_bytes")
    if not isinstance(used, int) or not isinstance(limit, int) or not limit:
        return "-"
    return f"{100 * used // limit} %"


@command(app, "set")
def set_quota(
    cli: Cli,
    limit_gb: Annotated[float, typer.Option("--limit", min=0, help="GiB that volumes may grow to, all together.")],
    pool: Annotated[
        str | None, typer.Option("--pool", help="In this pool.", autocompletion=complete_ids("storage"))
    ] = None,
    user: Annotated[str | None, typer.Option("--user", help="Of this user.")] = None,
) -> None:
    """Bound what may be provisioned in a pool, by a user, or by a user in a pool. Sets the limit anew where there is one."""
    if pool is None and user is None:
        raise CliError("a quota needs a pool, a user, or both", Exit.USAGE, "give --pool POOL or --user USER")
    rows = cli.client().get(path_of("quotas")).rows
    there = next((str(row["id"]) for row in rows if (row.get("pool"), row.get("user")) == (pool, user)), None)
    bounds = " in ".join(words for words in (f"user {user}" if user else "", f"pool {pool}" if pool else "") if words)
    sentence = f"{bounds} may take {limit_gb:g} GiB"
    if there is not None:
        cli.work("PATCH", path_of("quotas", there), sentence, body={"limit_gb": limit_gb})
        return
    body = {"limit_gb": limit_gb} | ({"pool": pool} if pool else {}) | ({"user": user} if user else {})
    cli.work("POST", path_of("quotas"), sentence, body=body)


@command(app, "delete", asks=True, alias="rm")
def delete_quota(cli: Cli, quota: QuotaId) -> None:
    """Delete a quota: what it bounded is bounded no more."""
    cli.confirm(f"Delete quota {quota}?")
    cli.work("DELETE", path_of("quotas", quota), f"quota {quota} is deleted")
