"""`horcrux replication`: VMs whose disks are kept up to date at a peer."""

from typing import Annotated

import typer

from agent.cli.client import Document, path_of
from agent.cli.command import Cli, command, complete_ids, noun
from agent.cli.exits import CliError, Exit
from agent.cli.output import cell, field, moment, size

app = noun("VMs whose disks are replicated to a peer.")
Id = Annotated[str, typer.Argument(metavar="REPLICATION", autocompletion=complete_ids("replications"))]
Schedule = Annotated[str | None, typer.Option(help="Cron expression in UTC, such as '*/15 * * * *'.")]
Limit = Annotated[float | None, typer.Option(min=0, help="MiB/s; 0 for none.")]


@command(app, "list", alias="ls")
def list_replications(cli: Cli) -> None:
    """List replications with their state."""
    columns = [field("id", "id"), field("vm", "vm_id"), ("to", _target), field("state", "state")]
    columns += [moment("last success", "last_success_at"), moment("next", "next_run_at"), size("sent", "last_bytes")]
    columns += [("error", _error)]
    cli.rows(cli.client().get(path_of("replications")).rows, columns)


@command(app, "show")
def show_replication(cli: Cli, replication: Id) -> None:
    """Show a replication."""
    cli.one(cli.client().get(path_of("replications", replication)).document)


@command(app, "create")
def create_replication(
    cli: Cli,
    vm: Annotated[str, typer.Argument(metavar="VM", autocompletion=complete_ids("vms"))],
    peer: Annotated[str, typer.Option(help="The peer.", autocompletion=complete_ids("peers"))],
    pool: Annotated[str, typer.Option(help="A ZFS pool of the peer.")],
    schedule: Schedule = None,
    limit: Limit = None,
    name: Annotated[str | None, typer.Option("--id", help="Else the VM's id.")] = None,
) -> None:
    """Replicate a VM's disks to a peer, every 15 minutes unless said otherwise."""
    body: dict[str, object] = {"vm_id": vm, "peer": peer, "target_pool": pool}
    body |= ({"schedule": schedule} if schedule else {}) | ({"id": name} if name else {})
    body |= {"bandwidth_limit_mib_s": limit} if limit else {}
    made = cli.client().call("POST", path_of("replications"), body=body).document
    cli.done(f"replication {made.get('id')} keeps VM {vm} in pool {pool} of peer {peer}", made)


@command(app, "set")
def change_replication(
    cli: Cli,
    replication: Id,
    schedule: Schedule = None,
    limit: Limit = None,
    enabled: Annotated[bool | None, typer.Option("--enable/--disable", help="Whether it runs by itself.")] = None,
) -> None:
    """Change its schedule or limit, or switch it on or off."""
    body: dict[str, object] = {}
    if schedule is not None:
        body["schedule"] = schedule
    if limit is not None:
        body["bandwidth_limit_mib_s"] = limit or None
    if enabled is not None:
        body["is_enabled"] = enabled
    if not body:
        raise CliError("nothing to change", Exit.USAGE, "give --schedule, --limit, --enable or --disable")
    changed = cli.client().call("PATCH", path_of("replications", replication), body=body).document
    cli.done(f"replication {replication} is changed", changed)


@command(app, "run", task=True, asks=True)
def run_replication(
    cli: Cli,
    replication: Id,
    afresh: Annotated[bool, typer.Option("--afresh", help="Delete the replica, and send everything anew.")] = False,
) -> None:
    """Replicate now, and wait for it."""
    if afresh:
        cli.confirm(f"Delete the replica of {replication} at the peer, and send everything anew?")
    path = path_of("replications", replication, "run")
    cli.work("POST", path, f"replication {replication} is up to date", body={"afresh": afresh})


@command(app, "delete", task=True, asks=True, alias="rm")
def delete_replication(
    cli: Cli,
    replication: Id,
    replica: Annotated[bool, typer.Option("--replica", help="Delete the replica at the peer too.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also when the peer cannot be asked.")] = False,
) -> None:
    """End a replication. Its replica stays at the peer unless you say otherwise."""
    cli.confirm(f"End replication {replication}{' and delete its replica' if replica else ''}?")
    query = f"?delete_replica={str(replica).lower()}&force={str(force).lower()}"
    cli.work("DELETE", path_of("replications", replication) + query, f"replication {replication} has ended")


def _target(row: Document) -> str:
    return f"{row.get('peer')}:{row.get('target_pool')}"


def _error(row: Document) -> str:
    """In a few words; `show` has all of them."""
    text = cell(row.get("last_error"))
    return text if len(text) <= 60 else text[:59] + "…"
