"""`horcrux peer`: which other nodes are trusted."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from agent.cli.client import path_of
from agent.cli.command import Cli, command, complete_ids, noun
from agent.cli.exits import CliError, Exit
from agent.cli.output import Format, field, moment

app = noun("Other nodes that this one trusts, for replication.")
Name = Annotated[str, typer.Argument(metavar="PEER", autocompletion=complete_ids("peers"))]


@command(app, "show")
def show_peer(cli: Cli, peer: Annotated[str | None, typer.Argument(metavar="[PEER]")] = None) -> None:
    """Show this node's own certificate, to be entered at the other node; or a peer, asking it whether it answers."""
    if peer is not None:
        cli.one(cli.client().get(path_of("peers", peer)).document)
        return
    ourself = cli.client().get(path_of("peers", "self")).document
    if cli.output is not Format.TABLE:
        cli.one(ourself)
        return
    cli.say(f"node {ourself.get('name')}, {ourself.get('address')}, fingerprint {ourself.get('fingerprint')}")
    print(str(ourself.get("certificate", "")).rstrip("\n"))


@command(app, "list", alias="ls")
def list_peers(cli: Cli) -> None:
    """List the peers that are trusted, and whether they answer."""
    columns = [field("name", "name"), field("address", "url"), field("reachable", "is_reachable")]
    columns += [moment("last seen", "last_seen_at"), field("fingerprint", "fingerprint")]
    cli.rows(cli.client().get(path_of("peers")).rows, columns)


@command(app, "add")
def add_peer(
    cli: Cli,
    name: Annotated[str, typer.Argument(metavar="PEER", help="What it is to be called here.")],
    address: Annotated[str, typer.Option(help="https://HOST:PORT of its peers' port (8007).")],
    certificate: Annotated[Path, typer.Option(help="File with what `horcrux peer show` prints there; - reads it.")],
) -> None:
    """Trust another node. Do the same there: each has to trust the other."""
    body = {"name": name, "url": address, "certificate": _read(certificate)}
    made = cli.client().call("POST", path_of("peers"), body=body).document
    cli.done(f"peer {name} is trusted; its fingerprint is {made.get('fingerprint')}", made)


@command(app, "remove", asks=True, alias="rm")
def remove_peer(cli: Cli, peer: Name) -> None:
    """Trust a peer no more. Refused while a replication needs it."""
    cli.confirm(f"Trust peer {peer} no more?")
    cli.client().call("DELETE", path_of("peers", peer))
    cli.done(f"peer {peer} is not trusted any more", None)


def _read(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text()
    except (OSError, UnicodeDecodeError) as err:
        raise CliError(f"the certificate {file} cannot be read: {err}", Exit.USAGE) from err
