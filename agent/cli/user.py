"""`horcrux user`: who may sign in."""

from enum import StrEnum
from typing import Annotated

import typer

from agent.cli.client import path_of
from agent.cli.command import Cli, command, noun
from agent.cli.exits import CliError, Exit
from agent.cli.login import Stdin, ask_password
from agent.cli.output import field, moment

app = noun("Who may sign in.")
_COLUMNS = [
    field("name", "name"),
    field("role", "role"),
    field("disabled", "disabled"),
    moment("created", "created_at"),
]


class RoleName(StrEnum):
    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"


Name = Annotated[str, typer.Argument(metavar="USER")]


@command(app, "list", alias="ls")
def list_users(cli: Cli) -> None:
    """List users."""
    cli.rows(cli.client().get(path_of("auth", "users")).rows, _COLUMNS)


@command(app, "create")
def create_user(
    cli: Cli,
    name: Name,
    role: Annotated[RoleName, typer.Option(help="What the user may do.")] = RoleName.VIEWER,
    password_stdin: Stdin = False,
) -> None:
    """Make a user."""
    password = ask_password(f"password of {name}", from_stdin=password_stdin, confirm=True)
    body = {"name": name, "password": password, "role": role.value}
    cli.done(f"user {name} is made", cli.client().call("POST", path_of("auth", "users"), body=body).body)


@command(app, "set")
def change_user(
    cli: Cli,
    name: Name,
    role: Annotated[RoleName | None, typer.Option(help="What the user may do.")] = None,
    disabled: Annotated[bool | None, typer.Option("--disable/--enable", help="Whether the user may sign in.")] = None,
) -> None:
    """Change a user; the user's sessions end."""
    change: dict[str, object] = {}
    if role is not None:
        change["role"] = role.value
    if disabled is not None:
        change["disabled"] = disabled
    if not change:
        raise CliError("nothing to change was named", Exit.USAGE, "give --role, --disable or --enable")
    client = cli.client()
    etag = client.get(path_of("auth", "users", name)).headers.get("etag", "")
    headers = {"If-Match": etag} if etag else None
    answer = client.call("PATCH", path_of("auth", "users", name), body=change, headers=headers)
    cli.done(f"user {name} is changed", answer.body)


@command(app, "passwd")
def set_password(cli: Cli, name: Name, password_stdin: Stdin = False) -> None:
    """Set another user's password; the user's sessions end. Your own: `horcrux passwd`."""
    password = ask_password(f"new password of {name}", from_stdin=password_stdin, confirm=True)
    cli.client().call("PATCH", path_of("auth", "users", name), body={"password": password})
    cli.say(f"the password of {name} is changed")


@command(app, "delete", asks=True, alias="rm")
def delete_user(cli: Cli, name: Name) -> None:
    """Delete a user with all sessions and tokens."""
    cli.confirm(f"Delete user {name}?")
    cli.client().call("DELETE", path_of("auth", "users", name))
    cli.say(f"user {name} is deleted")
