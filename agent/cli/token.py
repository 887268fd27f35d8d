"""`horcrux token`: tokens for scripts."""

import re
import time
from typing import Annotated

import typer

from agent.cli.client import path_of
from agent.cli.command import Cli, command, noun
from agent.cli.exits import CliError, Exit
from agent.cli.output import Format, field, moment

app = noun("Tokens for scripts.")
_COLUMNS = [field("id", "id"), field("name", "name"), field("user", "user"), field("scopes", "scopes")]
_COLUMNS += [moment("created", "created_at"), moment("expires", "expires_at"), moment("last used", "last_used_at")]
_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def seconds_of(text: str) -> int:
    """`90d` in seconds; a unit is needed."""
    found = re.fullmatch(r"(\d+)([mhdw])", text)
    if not found:
        raise CliError(f"{text!r} is no length of time", Exit.USAGE, "give a number and m, h, d or w: 90d")
    return int(found[1]) * _SECONDS[found[2]]


@command(app, "list", alias="ls")
def list_tokens(
    cli: Cli, user: Annotated[str | None, typer.Option(help="Of this user; * for everyone's.")] = None
) -> None:
    """List tokens; without --user your own."""
    cli.rows(cli.client().get(path_of("auth", "tokens"), {"user": user} if user else None).rows, _COLUMNS)


@command(app, "create")
def create_token(
    cli: Cli,
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="May do this (vm.read); again for more. Else all you may.")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="Ends after so long: 12h, 90d. Else never.")] = None,
) -> None:
    """Make a token; it is printed once and never again."""
    body: dict[str, object] = {"name": name}
    if scope:
        body["scopes"] = scope
    if expires:
        body["expires_at"] = int(time.time()) + seconds_of(expires)
    made = cli.client().call("POST", path_of("auth", "tokens"), body=body).document
    if cli.output is not Format.TABLE:
        cli.one(made)
        return
    cli.say(f"token {made.get('id')} is made; keep it, it is not shown again:")
    print(made.get("token"))


@command(app, "delete", asks=True, alias="rm")
def delete_token(cli: Cli, token: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """End a token at once."""
    cli.confirm(f"End token {token}? Scripts that use it stop working.")
    cli.client().call("DELETE", path_of("auth", "tokens", token))
    cli.say(f"token {token} is ended")
