"""`horcrux login`, `horcrux logout`, `horcrux passwd`, `horcrux whoami`."""

import sys
from typing import Annotated

import typer

from agent.cli.account import Kept, choose_token, forget_session, keep_session
from agent.cli.client import Client, Document, path_of
from agent.cli.command import Cli, command, environment_password
from agent.cli.exits import CliError, Exit

Stdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


def add_to(app: typer.Typer) -> None:
    command(app, "login")(login)
    command(app, "setup")(setup)
    command(app, "logout")(logout)
    command(app, "passwd")(passwd)
    command(app, "whoami")(whoami)


def ask_password(question: str, *, from_stdin: bool, confirm: bool = False) -> str:
    """From standard input, else HORCRUX_PASSWORD, else typed without an echo."""
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    elif known := environment_password():
        password = known
    elif sys.stdin.isatty():
        password = str(typer.prompt(question, hide_input=True, confirmation_prompt=confirm, err=True))
    else:
        raise CliError("no password was given", Exit.USAGE, "set HORCRUX_PASSWORD or give --password-stdin")
    if not password:
        raise CliError("the password is empty", Exit.USAGE)
    return password


def _keep(cli: Cli, session: Document) -> None:
    expires = session.get("expires")
    kept = Kept(
        token=str(session.get("token", "")),
        username=str(session.get("username", "")),
        expires=expires if isinstance(expires, int) else 0,
    )
    keep_session(cli.url, kept)


def login(
    cli: Cli,
    username: Annotated[str, typer.Argument(help="The user's name.")] = "admin",
    password_stdin: Stdin = False,
) -> None:
    """Sign in; the session is kept for the next commands."""
    password = ask_password(f"password of {username} on {cli.url}", from_stdin=password_stdin)
    body = {"username": username, "password": password}
    _keep(cli, Client(cli.url).call("POST", path_of("auth", "login"), body=body).document)
    cli.say(f"signed in to {cli.url} as {username}")


def setup(
    cli: Cli,
    link: Annotated[str, typer.Argument(help="The one-use link that the agent printed at its first start.")],
    username: Annotated[str, typer.Argument(help="The administrator's name.")] = "admin",
    password_stdin: Stdin = False,
) -> None:
    """Make the first administrator from the set-up link, and sign in."""
    _, is_link, secret = link.partition("setup=")
    if not is_link or not secret:
        raise CliError("that is no set-up link", Exit.USAGE, "give the whole link, in quotes: '…/#setup=…'")
    password = ask_password(f"new password of {username}", from_stdin=password_stdin, confirm=True)
    body = {"secret": secret, "username": username, "password": password}
    _keep(cli, Client(cli.url).call("POST", path_of("auth", "setup"), body=body).document)
    cli.say(f"{username} is made and signed in to {cli.url}")


def logout(cli: Cli) -> None:
    """Sign out: the session ends on the agent and is forgotten here."""
    url = cli.url
    if not choose_token(url):
        cli.say(f"nobody is signed in to {url}")
        return
    try:
        cli.client().call("POST", path_of("auth", "logout"))
    except CliError as error:
        if error.exit_code is not Exit.DENIED:
            raise
        cli.say("the session had ended already")
    finally:
        forget_session(url)
    cli.say(f"signed out of {url}")


def passwd(cli: Cli, password_stdin: Stdin = False) -> None:
    """Change your own password; other sessions of yours end. Standard input: the current one, then the new one."""
    current = ask_password("current password", from_stdin=password_stdin)
    new = sys.stdin.readline().rstrip("\r\n") if password_stdin else _typed_new()
    session = cli.client().call("POST", path_of("auth", "password"), body={"current": current, "new": new}).document
    _keep(cli, session)
    cli.say("the password is changed")


def _typed_new() -> str:
    if not sys.stdin.isatty():
        raise CliError("no new password was given", Exit.USAGE, "give --password-stdin, the current one first")
    return str(typer.prompt("new password", hide_input=True, confirmation_prompt=True, err=True))


def whoami(cli: Cli) -> None:
    """Who is signed in, and what that may do."""
    cli.one(cli.client().get(path_of("auth", "me")).document)
