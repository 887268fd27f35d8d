"""The command line `horcrux`: noun, verb. It speaks HTTP only; whatever is heavy is loaded by the command that needs it."""

import sys

import typer

from agent.cli import (
    console,
    demo,
    disk,
    doctor,
    image,
    login,
    peer,
    quota,
    replication,
    snapshot,
    storage,
    task,
    template,
    token,
    user,
    version,
    vm,
    vm_power,
    volume,
)
from agent.cli.exits import CliError, Exit

app = typer.Typer(
    name="horcrux",
    help="Run virtual machines and look after them. Begin with: horcrux login, horcrux demo, horcrux vm list.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for part in (login, doctor, demo, version):
    part.add_to(app)
for part_of_vm in (vm_power, console, template):
    part_of_vm.add_to(vm.app)
for name, group in (
    ("vm", vm.app),
    ("template", template.app),
    ("image", image.app),
    ("storage", storage.app),
    ("volume", volume.app),
    ("quota", quota.app),
    ("replication", replication.app),
    ("peer", peer.app),
    ("task", task.app),
    ("token", token.app),
    ("user", user.app),
):
    app.add_typer(group, name=name)
vm.app.add_typer(snapshot.app, name="snapshot")
vm.app.add_typer(disk.app, name="disk")


def main() -> None:
    """Runs the command of `sys.argv` and ends the process with its exit code."""
    try:
        app(prog_name="horcrux")
    except CliError as error:
        print(f"horcrux: {error}", file=sys.stderr)
        if error.next_step:
            print(f"  next: {error.next_step}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Who reads us has enough (`| head`); Python must not complain when it flushes at exit.
        sys.stdout = None
        sys.exit(Exit.OK)


if __name__ == "__main__":
    main()
