"""`horcrux demo`: from nothing to a guest that speaks for itself."""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from agent.cli.client import Client, Document, path_of
from agent.cli.command import Cli, command
from agent.cli.console import screen_url
from agent.cli.exits import CliError, Exit, error_of
from agent.cli.follow import bar
from agent.cli.image import checksum_of, upload

IMAGE = "hello.qcow2"
VM = "hello"
_LOOK_EVERY_S = 0.5
_LOG_BYTES = 1 << 20

Sleep = Callable[[float], None]


def add_to(app: typer.Typer) -> None:
    command(app, "demo")(demo)


def demo(
    cli: Cli,
    pool: Annotated[str, typer.Option("--pool", help="Where its image and its disk go.")] = "local",
    timeout: Annotated[int, typer.Option(min=1, help="Seconds that the guest has to speak.")] = 120,
) -> None:
    """Make a small guest from Debian packages, start it as VM `hello`, and wait until it speaks. May be run again."""
    began = time.monotonic()
    client = cli.client()
    client.get(path_of("auth", "me"))
    vm = _find(client, path_of("vms", VM))
    if vm is None:
        _bring_image(cli, client, pool)
        _create(cli, pool)
        vm = client.get(path_of("vms", VM)).document
    else:
        cli.say(f"VM {VM} is there already: {vm.get('status')}")
    started = time.monotonic()
    was_started = vm.get("status") not in {"running", "paused"}
    told_before = _sentences(client) if was_started else 0
    if was_started:
        _work(cli, "start", f"VM {VM} runs; waiting for the guest's own words on its serial line")
    elif vm.get("status") == "paused":
        _work(cli, "resume", f"VM {VM} runs again")
    line = _await_sentence(cli, client, told_before, timeout)
    now = time.monotonic()
    _print_end(cli, line, spoke_s=now - started if was_started else None, all_s=now - began)


def _work(cli: Cli, verb: str, sentence: str) -> None:
    cli.work("POST", path_of("vms", VM, verb), sentence)


def _find(client: Client, path: str) -> Document | None:
    try:
        return client.get(path).document
    except CliError as error:
        if error.exit_code is Exit.NOT_FOUND:
            return None
        raise


def _bring_image(cli: Cli, client: Client, pool: str) -> None:
    """The pool holds the demo's image, this very one."""
    from agent.demo.image import build_demo_image, default_cache
    from horcrux.errors import HorcruxError

    with tempfile.TemporaryDirectory(prefix="horcrux-demo-") as place:
        image = Path(place) / IMAGE
        try:
            with bar("demo image", quiet=cli.quiet) as tell:
                steps = iter(range(100))
                build_demo_image(image, default_cache(), lambda step: tell(step, min(next(steps) / 15, 1.0)))
        except HorcruxError as err:
            raise error_of(str(err)) from err
        checksum = checksum_of(image, lambda _stage, _fraction: None)
        there = next(
            (row for row in client.get(path_of("storage", pool, "images")).rows if row.get("name") == IMAGE), None
        )
        if there and there.get("sha256") == checksum:
            cli.say(f"image {IMAGE} is in pool {pool} already")
            return
        if there:
            cli.work("DELETE", path_of("storage", pool, "images", IMAGE), f"an older image {IMAGE} is deleted")
        upload(cli, image, pool, IMAGE)


def _create(cli: Cli, pool: str) -> None:
    disk = {"storage_pool": pool, "image": IMAGE}
    body = {"id": VM, "name": VM, "cpu_cores": 1, "memory_mb": 256, "architecture": "x86_64", "disks": [disk]}
    body["notes"] = "made by `horcrux demo`"
    cli.work("POST", path_of("vms"), f"VM {VM} is made", body=body)


def _log(client: Client) -> str:
    try:
        answer = client.get(path_of("vms", VM, "serial"), {"tail": str(_LOG_BYTES)})
    except CliError as error:
        if error.exit_code is Exit.NOT_FOUND:
            return ""
        raise
    return answer.raw.decode(errors="replace")


def _sentences(client: Client) -> int:
    """How often the guest has said its sentence, in this life and those before."""
    from agent.demo.image import SENTENCE

    return _log(client).count(SENTENCE)


def _await_sentence(cli: Cli, client: Client, told_before: int, timeout_s: int, sleep: Sleep = time.sleep) -> str:
    """The guest's sentence, once it has been said more often than `told_before`."""
    from agent.demo.image import SENTENCE

    end = time.monotonic() + timeout_s
    with bar(f"waiting for {VM}", quiet=cli.quiet) as tell:
        while True:
            told = _sentences(client)
            if told > told_before:
                return SENTENCE
            told_before = told  # fewer than before: the log was begun anew or rotated away
            left = end - time.monotonic()
            if left <= 0:
                break
            tell("the guest boots", 1 - left / timeout_s)
            sleep(_LOOK_EVERY_S)
    state = client.get(path_of("vms", VM)).document.get("status")
    step = f"what it wrote: `horcrux vm serial-log {VM}`; its screen: {screen_url(cli.url, VM)}"
    raise CliError(f"the guest said nothing within {timeout_s} s; VM {VM} is {state}", next_step=step)


def _print_end(cli: Cli, line: str, *, spoke_s: float | None, all_s: float) -> None:
    from agent.cli.output import Format

    if cli.output is not Format.TABLE:
        after_s = None if spoke_s is None else round(spoke_s, 2)
        cli.one({"vm": VM, "said": line, "spoke_after_s": after_s, "all_s": round(all_s, 2)})
        return
    print(f"{VM}: {line}")
    if spoke_s is not None:
        cli.say(f"its words came {spoke_s:.1f} s after its start; all of it took {all_s:.1f} s")
    cli.say("next:")
    cli.say(f"  see its screen        {screen_url(cli.url, VM)}")
    cli.say(f"  type into it          horcrux vm console {VM}")
    cli.say(f"  shut it down          horcrux vm shutdown {VM}")
    sys.stderr.flush()
