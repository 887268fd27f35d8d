"""`horcrux vm`: power, keys, and what the guest wrote on its serial line."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from agent.cli.client import path_of
from agent.cli.command import Cli, by_name, command, complete_ids
from agent.cli.exits import CliError, Exit

VmId = Annotated[str, typer.Argument(metavar="VM", autocompletion=complete_ids("vms"))]
Patience = Annotated[
    int, typer.Option("--queue", min=0, metavar="SECONDS", help="Wait so long when another task works on the VM.")
]
_VERBS = {
    "start": ("Start a VM.", "VM {} runs"),
    "stop": ("Pull a VM's plug: it stops at once.", "VM {} is stopped"),
    "reboot": ("Ask the guest to reboot.", "VM {} was asked to reboot"),
    "reset": ("Press a VM's reset button.", "VM {} was reset"),
    "pause": ("Let a VM's processors stand still.", "VM {} is paused"),
    "resume": ("Let a paused VM run on.", "VM {} runs again"),
}


def add_to(app: typer.Typer) -> None:
    for verb, (summary, sentence) in _VERBS.items():
        command(app, verb, task=True)(_power(verb, summary, sentence))
    command(app, "shutdown", task=True)(shutdown)
    command(app, "sendkeys")(sendkeys)
    command(app, "serial-log")(serial_log)


def _path(vm: str, verb: str, queue_s: int) -> str:
    return path_of("vms", vm, verb) + (f"?wait_s={queue_s}" if queue_s else "")


def _power(verb: str, summary: str, sentence: str) -> Callable[[Cli, str, int], None]:
    def act(cli: Cli, vm: VmId, queue: Patience = 0) -> None:
        by_name(cli, vm, lambda id_: cli.work("POST", _path(id_, verb, queue), sentence.format(vm)))

    act.__name__, act.__doc__ = verb, summary
    return act


def shutdown(
    cli: Cli,
    vm: VmId,
    timeout: Annotated[int, typer.Option(min=1, help="Seconds that the guest has for it.")] = 60,
    force: Annotated[bool, typer.Option("--force", help="Pull the plug when the time is over.")] = False,
    queue: Patience = 0,
) -> None:
    """Press the power button: the guest shuts itself down."""
    body = {"timeout_s": timeout, "force": force}
    sentence = f"VM {vm} is shut down"
    by_name(cli, vm, lambda id_: cli.work("POST", _path(id_, "shutdown", queue), sentence, body=body))


def sendkeys(
    cli: Cli,
    vm: VmId,
    text: Annotated[str | None, typer.Argument(help="Typed as it is; end with $'\\n' for Enter.")] = None,
    keys: Annotated[str | None, typer.Option(help="One chord instead: ctrl,alt,delete")] = None,
) -> None:
    """Type into the guest's keyboard."""
    if (text is None) == (keys is None):
        raise CliError("give either a text or --keys", Exit.USAGE)
    body: dict[str, object] = {"text": text} if text is not None else {"keys": (keys or "").split(",")}
    by_name(cli, vm, lambda id_: cli.client().call("POST", path_of("vms", id_, "sendkeys"), body=body))
    cli.say(f"typed into VM {vm}")


def serial_log(
    cli: Cli,
    vm: VmId,
    tail: Annotated[int, typer.Option(min=1, help="The last so many bytes.")] = 65536,
) -> None:
    """Print what the guest wrote on its serial line."""
    answer = by_name(cli, vm, lambda id_: cli.client().get(path_of("vms", id_, "serial"), {"tail": str(tail)}))
    sys.stdout.buffer.write(answer.raw)
    sys.stdout.flush()
