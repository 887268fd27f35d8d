"""`horcrux template`: list, show, create, delete, clone; and `horcrux vm clone`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agent.cli.client import Document, path_of
from agent.cli.command import Cli, by_name, command, complete_ids, noun
from agent.cli.exits import CliError, Exit
from agent.cli.output import field, moment
from agent.cli.vm import Cores, Memory, Notes, VmId
from agent.cli.vm_power import Patience
from agent.cli.vm_words import cloud_init_of, mebibytes

app = noun("Templates: machines that never change, to make others from.")
TemplateId = Annotated[str, typer.Argument(metavar="TEMPLATE", autocompletion=complete_ids("templates"))]
NewId = Annotated[str, typer.Argument(metavar="NEW-VM", help="The id of the clone.")]
Name = Annotated[str | None, typer.Option(help="For people; else the id.")]
Pool = Annotated[str | None, typer.Option("--pool", help="Where the copies of its disks go; else where the disks are.")]
Start = Annotated[bool, typer.Option("--start", help="Start it at once.")]


class CloneKind(StrEnum):
    LINKED = "linked"
    FULL = "full"


@command(app, "list", alias="ls")
def list_templates(cli: Cli) -> None:
    """List templates."""
    columns = [field("id", "id"), field("name", "name"), field("state", "state"), ("disks", _disks)]
    columns += [field("node", "node"), field("linked clones", "linked_clones"), moment("made", "created_at")]
    cli.rows(cli.client().get(path_of("templates")).rows, columns)


def _disks(row: Document) -> str:
    disks = row.get("disks")
    sizes = [f"{disk.get('size_gb'):g} GiB" for disk in disks] if isinstance(disks, list) else []
    return ", ".join(sizes) or "-"


@command(app, "show", alias="info")
def show_template(cli: Cli, template: TemplateId) -> None:
    """Show everything about a template."""
    cli.one(cli.client().get(path_of("templates", template)).document)


@command(app, "create", task=True)
def create_template(
    cli: Cli,
    vm: VmId,
    template: Annotated[
        str | None, typer.Argument(metavar="TEMPLATE", help="Its id; else tmpl-100 for vm-100.")
    ] = None,
    *,
    name: Annotated[str | None, typer.Option(help="For people; else the VM's.")] = None,
    turn: Annotated[
        bool, typer.Option("--turn", help="Turn the VM into the template instead of copying its disks.")
    ] = False,
    notes: Notes = None,
    queue: Patience = 0,
) -> None:
    """Make a template of a stopped VM, which stays as it is unless --turn is given."""
    wanted = {"name": name, "id": template, "notes": notes, "keep_vm": False if turn else None}

    def make(id_: str) -> object:
        body = {"vm_id": id_} | {key: value for key, value in wanted.items() if value is not None}
        return cli.work("POST", path_of("templates") + _queued(queue), f"VM {vm} is made a template", body=body)

    by_name(cli, vm, make)


@command(app, "delete", task=True, asks=True, alias="rm")
def delete_template(cli: Cli, template: TemplateId, queue: Patience = 0) -> None:
    """Delete a template with its disks. Refused while linked clones stand on it."""
    cli.confirm(f"Delete template {template} with its disks?")
    cli.work("DELETE", path_of("templates", template) + _queued(queue), f"template {template} is deleted")


@command(app, "clone", task=True)
def clone_template(
    cli: Cli,
    template: TemplateId,
    new_vm: NewId,
    *,
    name: Name = None,
    kind: Annotated[CloneKind, typer.Option("--type", help="Linked: at once, and stands on the template.")] = (
        CloneKind.LINKED
    ),
    pool: Pool = None,
    cores: Cores = None,
    memory: Memory = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="A tag; again for more. Else the template's.")] = None,
    cloud_user: Annotated[str | None, typer.Option(help="cloud-init: the user to make.")] = None,
    ssh_key: Annotated[list[Path] | None, typer.Option(help="cloud-init: a public key's file.")] = None,
    network_config: Annotated[Path | None, typer.Option(help="cloud-init: a network config (YAML).")] = None,
    user_data: Annotated[Path | None, typer.Option(help="cloud-init: user-data, taken as it is.")] = None,
    start: Start = False,
) -> None:
    """Make a VM from a template."""
    if pool and kind is CloneKind.LINKED:
        raise CliError("a linked clone stays in the pool of its template", Exit.USAGE, "add --type full")
    wanted: dict[str, object | None] = {
        "new_vm_id": new_vm,
        "clone_type": kind.value,
        "name": name,
        "storage_pool": pool,
        "cpu_cores": cores,
        "memory_mb": mebibytes(memory) if memory else None,
        "tags": tag or None,
        "cloud_init": cloud_init_of(cloud_user, ssh_key or [], network_config, user_data),
        "start": start or None,
    }
    body = {key: value for key, value in wanted.items() if value is not None}
    cli.work("POST", path_of("templates", template, "clone"), f"VM {new_vm} is made", body=body)


def add_to(vms: typer.Typer) -> None:
    """`horcrux vm clone`."""
    command(vms, "clone", task=True)(clone_vm)


def clone_vm(
    cli: Cli,
    vm: VmId,
    new_vm: NewId,
    *,
    name: Name = None,
    pool: Pool = None,
    start: Start = False,
    queue: Patience = 0,
) -> None:
    """Copy a stopped VM: disks of its own, new addresses."""
    wanted = {"name": name, "storage_pool": pool, "start": start or None}
    body = {"new_vm_id": new_vm} | {key: value for key, value in wanted.items() if value is not None}

    def copy(id_: str) -> object:
        return cli.work("POST", path_of("vms", id_, "clone") + _queued(queue), f"VM {new_vm} is made", body=body)

    by_name(cli, vm, copy)


def _queued(seconds: int) -> str:
    return f"?wait_s={seconds}" if seconds else ""
