"""`horcrux version`, `horcrux completion`."""

import os
import subprocess
import sys
from enum import StrEnum
from importlib import metadata
from typing import Annotated

import typer

from agent.cli.client import path_of
from agent.cli.command import Cli, command
from agent.cli.exits import CliError, Exit


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def add_to(app: typer.Typer) -> None:
    command(app, "version")(version)
    command(app, "completion")(completion)


def version(cli: Cli) -> None:
    """The version of this program, and of the agent when one answers."""
    told: dict[str, object] = {"client": metadata.version("horcrux"), "agent": None, "url": cli.url}
    try:
        told["agent"] = cli.client().get(path_of("version")).document.get("version")
    except CliError as error:
        if error.exit_code not in {Exit.UNREACHABLE, Exit.DENIED}:
            raise
        told["why"] = str(error)
    cli.one(told)


def completion(_cli: Cli, shell: Annotated[Shell, typer.Argument(help="Your shell.")]) -> None:
    """Print what makes your shell complete `horcrux`: `eval "$(horcrux completion bash)"`."""
    asked = subprocess.run(
        [sys.executable, "-m", "agent.cli.main"],
        env={**os.environ, "_HORCRUX_COMPLETE": f"source_{shell}"},
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode != 0 or not asked.stdout.strip():
        raise CliError(f"the completion for {shell} could not be made: {asked.stderr.strip()}")
    print(asked.stdout.rstrip("\n"))
