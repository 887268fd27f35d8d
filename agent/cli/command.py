"""What every command has: an address, a format, the options that all commands share."""

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Concatenate, ParamSpec, TypeVar

import msgspec
import typer

from agent.cli.account import choose_token, choose_url
from agent.cli.client import Answer, Client, Document, as_document, path_of
from agent.cli.exits import CliError, Exit
from agent.cli.follow import follow_task, result_of
from agent.cli.output import Column, Format, as_json, as_yaml, document_text, has_colour, table_text

P = ParamSpec("P")
T = TypeVar("T")

_PANEL = "Every command"
Output = Annotated[Format, typer.Option("-o", "--output", help="How to show the answer.", rich_help_panel=_PANEL)]
Url = Annotated[
    str | None, typer.Option("--url", help="The agent's address; else HORCRUX_URL.", rich_help_panel=_PANEL)
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but the answer.", rich_help_panel=_PANEL)]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Print the task and do not wait for its end.")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")]


class Cli:
    """One run of one command."""

    def __init__(
        self, *, url: str | None, output: Format, quiet: bool, no_wait: bool = False, yes: bool = False
    ) -> None:
        self._url = url
        self.output = output
        self.quiet = quiet
        self.waits = not no_wait
        self._yes = yes

    @property
    def url(self) -> str:
        return choose_url(self._url)

    def client(self) -> Client:
        url = self.url
        return Client(url, choose_token(url))

    def rows(self, rows: Sequence[Document], columns: Sequence[Column]) -> None:
        """A list, on stdout."""
        match self.output:
            case Format.JSON:
                print(as_json(list(rows)))
            case Format.YAML:
                print(as_yaml(list(rows)))
            case Format.TABLE:
                print(table_text(rows, columns, colour=has_colour()))

    def one(self, document: Document) -> None:
        """One object, on stdout."""
        match self.output:
            case Format.JSON:
                print(as_json(document))
            case Format.YAML:
                print(as_yaml(document))
            case Format.TABLE:
                print(document_text(document))

    def done(self, sentence: str, document: object) -> None:
        """A change is done: the sentence for people, the object for scripts."""
        if self.output is Format.TABLE:
            self.say(sentence)
        elif isinstance(document, dict):
            self.one(document)

    def say(self, sentence: str) -> None:
        """A message on stderr, unless --quiet."""
        if not self.quiet:
            print(sentence, file=sys.stderr)

    def confirm(self, question: str) -> None:
        """Returns when the user agrees or said --yes; CliError otherwise."""
        if self._yes:
            return
        if not sys.stdin.isatty():
            raise CliError("this needs a yes, and nobody is there to ask", Exit.USAGE, "give --yes")
        if not typer.confirm(question, err=True):
            raise CliError("nothing was done")

    def work(self, method: str, path: str, sentence: str, *, body: object = None, if_match: str = "") -> object:
        """The result of a call that may be a task, followed to its end; with --no-wait the task is shown instead."""
        client = self.client()
        answer = client.work(method, path, body=body, if_match=if_match, wait=self.waits)
        return self.settle(client, answer, sentence)

    def settle(self, client: Client, answer: Answer, sentence: str) -> object:
        """What comes of an answer: 202 is followed as a task."""
        if answer.status != 202:
            result = answer.body
        elif self.waits:
            result = result_of(follow_task(client, _task_id(answer), quiet=self.quiet))
        else:
            task = as_document(answer.body) if answer.raw else client.get(path_of("tasks", _task_id(answer))).document
            if self.output is Format.TABLE:
                print(task.get("id", ""))
            else:
                self.one(task)
            return None
        self.done(sentence, result)
        return result


def by_name(cli: Cli, vm: str, act: Callable[[str], T]) -> T:
    """What `act` gives for the VM of that id; where none has it, for the one VM of that name."""
    try:
        return act(vm)
    except CliError as error:
        if error.exit_code is not Exit.NOT_FOUND:
            raise
        rows = cli.client().get(path_of("vms"), {"name": vm}).rows
        named = [str(row.get("id")) for row in rows if row.get("name") == vm and row.get("id") != vm]
        if not named:
            raise
        if len(named) > 1:
            message = f"{len(named)} VMs are named {vm}: {', '.join(named)}"
            raise CliError(message, Exit.CONFLICT, "give the id of one") from None
    return act(named[0])


def _task_id(answer: Answer) -> str:
    task_id = answer.headers.get("location", "").rpartition("/")[2]
    if not task_id:
        raise CliError("the agent took the work but named no task", next_step="look at `horcrux task list`")
    return task_id


def command(
    app: typer.Typer, name: str, *, task: bool = False, asks: bool = False, alias: str = ""
) -> Callable[[Callable[Concatenate[Cli, P], None]], Callable[Concatenate[Cli, P], None]]:
    """Adds the function to `app` with the options that all commands share; `task` adds --no-wait, `asks` adds --yes."""

    def decorate(function: Callable[Concatenate[Cli, P], None]) -> Callable[Concatenate[Cli, P], None]:
        shared = [_option("output", Output, Format.TABLE), _option("url", Url, None), _option("quiet", Quiet, False)]
        if task:
            shared.append(_option("no_wait", NoWait, False))
        if asks:
            shared.append(_option("yes", Yes, False))
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        names = [parameter.name for parameter in shared]

        def run(**given: object) -> None:
            options = msgspec.convert({key: given.pop(key) for key in names}, _Shared)
            function(Cli(**msgspec.structs.asdict(options)), **given)  # type: ignore[arg-type, call-arg]  # typer checked them

        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in [*own, *shared]]
        run.__name__ = function.__name__
        run.__doc__ = function.__doc__
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        vars(run)["__signature__"] = inspect.Signature(parameters)
        app.command(name)(run)
        if alias:
            app.command(alias, hidden=True)(run)
        return function

    return decorate


class _Shared(msgspec.Struct, frozen=True, kw_only=True):
    output: Format
    url: str | None
    quiet: bool
    no_wait: bool = False
    yes: bool = False


def _option(name: str, annotation: object, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def noun(help_text: str) -> typer.Typer:
    """A group of commands about one noun."""
    return typer.Typer(help=help_text, no_args_is_help=True, add_completion=False)


def complete_ids(*segments: str) -> Callable[[str], list[str]]:
    """Offers the ids of a list to the shell; nothing when the agent does not answer."""

    def offer(incomplete: str) -> list[str]:
        try:
            url = choose_url(None)
            rows = Client(url, choose_token(url)).get(path_of(*segments)).rows
        except CliError:
            return []
        ids = [str(row.get("id") or row.get("name") or "") for row in rows]
        return [each for each in ids if each.startswith(incomplete)]

    return offer


def environment_password(name: str = "HORCRUX_PASSWORD") -> str:
    return os.environ.get(name, "")
