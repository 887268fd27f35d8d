"""`horcrux doctor`: what the host can do, why not, and what helps."""

import os
from typing import Annotated

import msgspec
import typer

from agent.cli.client import Document, as_document, path_of
from agent.cli.command import Cli, command
from agent.cli.exits import CliError, Exit
from agent.cli.output import Format, has_colour


def add_to(app: typer.Typer) -> None:
    command(app, "doctor")(doctor)


def doctor(
    cli: Cli,
    local: Annotated[bool, typer.Option("--local", help="Look at this host, whatever an agent says.")] = False,
) -> None:
    """Tell what the host can do, why not, and what helps. Works without an agent too; fails when no VM could run."""
    report, source = (_look_here(), "this host, looked at directly") if local else _ask(cli)
    if cli.output is Format.TABLE:
        _print(report, source)
    else:
        cli.one({"source": source, **report})
    lacking = [str(each["name"]) for each in _findings(report) if each.get("needed") and not each.get("ok")]
    if lacking:
        raise CliError(f"no VM can run here: {', '.join(lacking)} is missing", next_step="see the remedies above")


def _ask(cli: Cli) -> tuple[Document, str]:
    """The agent's own report; this host's, looked at from here, when no agent answers or knows us."""
    try:
        return cli.client().get(path_of("host")).document, f"the agent on {cli.url}"
    except CliError as error:
        if error.exit_code not in {Exit.UNREACHABLE, Exit.DENIED}:
            raise
        return _look_here(), f"this host, looked at directly ({error})"


def _look_here() -> Document:
    from agent.host.probe import order_of, probe_now
    from horcrux.config import load_settings
    from horcrux.errors import HorcruxError

    try:
        settings, _ = load_settings({}, os.environ, {})
    except HorcruxError as err:
        raise CliError(str(err), Exit.USAGE) from err
    return as_document(msgspec.json.decode(msgspec.json.encode(probe_now(order_of(settings, is_agent=False)))))


def _findings(report: Document) -> list[Document]:
    found = report.get("capabilities")
    return [as_document(each) for each in found] if isinstance(found, list) else []


def _print(report: Document, source: str) -> None:
    print(f"source: {source}")
    print(
        f"{report.get('hostname')}: {report.get('system')}, Linux {report.get('kernel')}, {report.get('architecture')}"
    )
    print(
        f"{report.get('cpu_model')}, {report.get('cpu_cores')} cores, {report.get('memory_mb')} MiB memory, "
        f"{report.get('state_dir_free_gb')} GiB free"
    )
    width = max((len(str(each.get("name"))) for each in _findings(report)), default=0)
    for each in _findings(report):
        mark, colour = ("ok", "32") if each.get("ok") else ("LACKS", "31") if each.get("needed") else ("no", "33")
        shown = f"\033[{colour}m{mark:5}\033[0m" if has_colour() else f"{mark:5}"
        words = "; ".join(str(each[part]) for part in ("detail", "reason") if each.get(part))
        print(f"{shown}  {str(each.get('name')).ljust(width)}  {words}")
        if each.get("remedy"):
            print(f"{' ' * (7 + width)}  -> {each['remedy']}")
