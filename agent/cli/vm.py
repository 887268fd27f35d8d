"""`horcrux vm`: list, show, create, change, delete."""

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agent.cli.client import Document, path_of
from agent.cli.command import Cli, by_name, command, complete_ids, noun
from agent.cli.exits import CliError, Exit
from agent.cli.output import Format, as_json, as_yaml, field, has_colour, table_text
from agent.cli.stream import EventStream
from agent.cli.vm_words import cloud_init_of, disk_of, mebibytes, nic_of

app = noun("Virtual machines.")
VmId = Annotated[str, typer.Argument(metavar="VM", autocompletion=complete_ids("vms"))]
COLUMNS = [field("id", "id"), field("name", "name"), field("status", "status"), field("cpu", "cpu_cores")]
COLUMNS += [("memory", lambda row: f"{row.get('memory_mb', '-')} MiB"), field("arch", "architecture")]
COLUMNS += [field("node", "node"), field("tags", "tags")]

Cores = Annotated[int | None, typer.Option("--cores", min=1, help="Processor cores.")]
Memory = Annotated[str | None, typer.Option("--memory", help="2048 (MiB), 2G")]
Tag = Annotated[list[str] | None, typer.Option("--tag", help="A tag; again for more.")]
NicWords = Annotated[
    list[str] | None, typer.Option("--nic", help="bridge=br0,model=virtio,mac=…; again for more. `none`: no card.")
]
Notes = Annotated[str | None, typer.Option("--notes")]
Cdrom = Annotated[str | None, typer.Option("--cdrom", help="An ISO image: NAME or POOL/NAME. `none`: none.")]
CpuModel = Annotated[str | None, typer.Option("--cpu-model", help="As QEMU calls it; else the best this host can.")]


class FirmwareName(StrEnum):
    BIOS = "bios"
    UEFI = "uefi"


class ArchitectureName(StrEnum):
    X86_64 = "x86_64"
    AARCH64 = "aarch64"
    RISCV64 = "riscv64"


@command(app, "list", alias="ls")
def list_vms(
    cli: Cli,
    status: Annotated[str | None, typer.Option(help="Only those that are so: running, stopped, …")] = None,
    tag: Annotated[str | None, typer.Option(help="Only those with this tag.")] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow what changes, until Ctrl+C.")] = False,
) -> None:
    """List VMs."""
    query = ({"status": status} if status else {}) | ({"tag": tag} if tag else {})
    if watch:
        _watch(cli, query)
        return
    cli.rows(cli.client().get(path_of("vms"), query).rows, COLUMNS)


def _watch(cli: Cli, query: dict[str, str]) -> None:
    """The list, shown again after each change; JSON and YAML print each VM that changed."""
    client = cli.client()
    rows: dict[str, Document] = {}
    for event in EventStream(client).events():
        if event is None or event.kind == "reset":
            rows = {str(row.get("id")): row for row in client.get(path_of("vms"), query).rows}
            changed: Sequence[Document] = list(rows.values())
        elif event.kind != "vm":
            continue
        else:
            rows.pop(event.id, None)
            if event.data is not None and _matches(event.data, query):
                rows[event.id] = event.data
            changed = [event.data if event.data is not None else {"id": event.id, "status": "gone"}]
        _show_watched(cli, sorted(rows.values(), key=lambda row: str(row.get("id"))), changed)


def _matches(row: Document, query: dict[str, str]) -> bool:
    tags = row.get("tags")
    return query.get("status") in {None, row.get("status")} and (
        "tag" not in query or (isinstance(tags, list) and query["tag"] in tags)
    )


def _show_watched(cli: Cli, rows: Sequence[Document], changed: Sequence[Document]) -> None:
    if cli.output is Format.TABLE:
        if sys.stdout.isatty():
            print("\033[H\033[2J", end="")
        print(table_text(rows, COLUMNS, colour=has_colour()), flush=True)
        return
    for row in changed:
        print(as_json(row) if cli.output is Format.JSON else f"---\n{as_yaml(row)}", flush=True)


@command(app, "show", alias="info")
def show_vm(cli: Cli, vm: VmId) -> None:
    """Show everything about a VM."""
    document = by_name(cli, vm, lambda id_: cli.client().get(path_of("vms", id_)).document)
    if cli.output is Format.TABLE:
        actions = document.pop("allowed_actions", None)
        if isinstance(actions, dict):
            document["allowed"] = [verb for verb, action in actions.items() if action.get("allowed")]
    cli.one(document)


@command(app, "create", task=True)
def create_vm(
    cli: Cli,
    vm: Annotated[str | None, typer.Argument(metavar="VM", help="Its id; else the next free vm-<n>.")] = None,
    *,
    name: Annotated[str | None, typer.Option(help="For people; else the id.")] = None,
    cores: Cores = None,
    memory: Memory = None,
    disk: Annotated[
        list[str] | None, typer.Option(help="20 (GiB), or size=20,pool=local,image=NAME,bus=virtio,cache=none")
    ] = None,
    image: Annotated[str | None, typer.Option(help="Short for a first disk of this image in pool local.")] = None,
    architecture: Annotated[ArchitectureName | None, typer.Option("--arch", help="Else this host's.")] = None,
    firmware: Annotated[FirmwareName | None, typer.Option(help="Else bios.")] = None,
    machine: Annotated[str | None, typer.Option(help="QEMU's machine type.")] = None,
    cpu_model: CpuModel = None,
    nic: NicWords = None,
    cdrom: Cdrom = None,
    tag: Tag = None,
    notes: Notes = None,
    node: Annotated[str | None, typer.Option(help="Which node runs it; else this one.")] = None,
    autostart: Annotated[bool, typer.Option("--autostart", help="Start it with the node.")] = False,
    cloud_user: Annotated[str | None, typer.Option(help="cloud-init: the user to make.")] = None,
    ssh_key: Annotated[list[Path] | None, typer.Option(help="cloud-init: a public key's file.")] = None,
    network_config: Annotated[Path | None, typer.Option(help="cloud-init: a network config (YAML).")] = None,
    user_data: Annotated[Path | None, typer.Option(help="cloud-init: user-data, taken as it is.")] = None,
    start: Annotated[bool, typer.Option("--start", help="Start it at once.")] = False,
) -> None:
    """Make a VM."""
    disks = [disk_of(f"image={image}")] if image else []
    wanted: dict[str, object | None] = {
        "id": vm,
        "name": name,
        "cpu_cores": cores,
        "memory_mb": mebibytes(memory) if memory else None,
        "disks": [*disks, *(disk_of(words) for words in disk or [])],
        "architecture": architecture.value if architecture else None,
        "firmware": firmware.value if firmware else None,
        "machine": machine,
        "cpu_model": cpu_model,
        "nics": _nics(nic),
        "cdrom": cdrom,
        "tags": tag or None,
        "notes": notes,
        "node": node,
        "autostart": autostart or None,
        "cloud_init": cloud_init_of(cloud_user, ssh_key or [], network_config, user_data),
        "start": start or None,
    }
    body = {key: value for key, value in wanted.items() if value is not None}
    made = cli.work("POST", path_of("vms"), f"VM {vm} is made" if vm else "the VM is made:", body=body)
    if not vm and cli.output is Format.TABLE and isinstance(made, dict):
        print(made.get("id"))


def _nics(words: Sequence[str] | None) -> list[Document] | None:
    if not words:
        return None
    return [] if list(words) == ["none"] else [nic_of(each) for each in words]


@command(app, "set", task=True)
def change_vm(
    cli: Cli,
    vm: VmId,
    *,
    name: Annotated[str | None, typer.Option()] = None,
    cores: Cores = None,
    memory: Memory = None,
    firmware: Annotated[FirmwareName | None, typer.Option()] = None,
    cpu_model: CpuModel = None,
    nic: NicWords = None,
    cdrom: Cdrom = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="All its tags, one each. `none`: none.")] = None,
    notes: Notes = None,
    autostart: Annotated[bool | None, typer.Option("--autostart/--no-autostart")] = None,
) -> None:
    """Change a VM; what needs a restart is shown as pending. Refused when somebody else changed it meanwhile."""
    wanted: dict[str, object | None] = {
        "name": name,
        "cpu_cores": cores,
        "memory_mb": mebibytes(memory) if memory else None,
        "firmware": firmware.value if firmware else None,
        "nics": _nics(nic),
        "notes": notes,
        "autostart": autostart,
    }
    change: dict[str, object] = {key: value for key, value in wanted.items() if value is not None}
    if tag:
        change["tags"] = [] if tag == ["none"] else tag
    for key, text in (("cdrom", cdrom), ("cpu_model", cpu_model)):
        if text is not None:
            change[key] = None if text == "none" else text
    if not change:
        raise CliError("nothing to change was named", Exit.USAGE, "see `horcrux vm set --help`")
    before = by_name(cli, vm, lambda id_: cli.client().get(path_of("vms", id_)))
    path, etag = path_of("vms", str(before.document.get("id") or vm)), before.headers.get("etag", "")
    result = cli.work("PATCH", path, f"VM {vm} is changed", body=change, if_match=etag)
    pending = result.get("pending") if isinstance(result, dict) else None
    if pending:
        fields = ", ".join(str(each.get("field")) for each in pending if isinstance(each, dict))
        cli.say(f"the running guest sees this after its next start: {fields}")


@command(app, "delete", task=True, asks=True, alias="rm")
def delete_vm(
    cli: Cli,
    vm: VmId,
    force: Annotated[bool, typer.Option("--force", help="Stop it first if it runs.")] = False,
) -> None:
    """Delete a VM with its disks."""
    cli.confirm(f"Delete VM {vm} with its disks?")
    query = "?force=true" if force else ""
    by_name(cli, vm, lambda id_: cli.work("DELETE", path_of("vms", id_) + query, f"VM {vm} is deleted"))
