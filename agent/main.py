"""The daemon: reads the settings, opens the node, serves until told to stop.

settings -> state folder (one agent on it) -> node -> HTTP -> READY -> signal -> HTTP stops -> tasks end -> closed
"""

import argparse
import asyncio
import gc
import ipaddress
import logging
import os
import signal
import ssl
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from agent.assembly import Node, open_node
from agent.logs import set_up_logs
from agent.node import NodeState
from agent.sdnotify import notify
from agent.settings import read_settings
from agent.wiring import real_drivers
from horcrux import __version__
from horcrux.config import Settings
from horcrux.errors import HorcruxError, Invalid

log = logging.getLogger("horcrux.agent")

PATIENCE_S = 5.0
"""For threads, after everything has been closed."""


def main() -> None:
    """Entry of `horcrux-agent`: exit status 0 after a stop that was asked for, 1 with a sentence otherwise, 2 for usage."""
    gc.disable()  # until the node serves: hardly anything that starting makes is ever let go of
    arguments = _arguments(sys.argv[1:])
    try:
        settings, origin = read_settings(arguments.config, os.environ, _flags(arguments))
        if arguments.show_settings:
            _show(settings, origin)
            return
        set_up_logs(settings.log)
        tls = _tls(settings)
        # Handed over to nobody: what we start must not find it in its environment.
        os.environ.pop("HORCRUX_ADMIN_PASSWORD", None)
        state = NodeState.open(Path(settings.state_dir), settings.node_name, os.urandom)
        try:
            asyncio.run(_serve(settings, state, tls))
        finally:
            state.close()
        end_soon(0)
    except HorcruxError as err:
        sys.stderr.write(f"horcrux-agent: {err}\n")
        end_soon(1)
        sys.exit(1)


def end_soon(code: int, patience_s: float = PATIENCE_S) -> None:
    """The process ends with this code by itself, or in spite of threads that hang in the kernel: Python would wait for them."""

    def end() -> None:
        time.sleep(patience_s)
        names = ", ".join(sorted(t.name for t in threading.enumerate() if not t.daemon and t.name != "MainThread"))
        log.warning("threads that hang are left behind: %s", names)
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    threading.Thread(target=end, name="end", daemon=True).start()


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="horcrux-agent", description="One node of Horcrux: runs and protects VMs.")
    parser.add_argument("--config", type=Path, help="settings file (default /etc/horcrux/horcrux.toml)")
    parser.add_argument("--show-settings", action="store_true", help="print each setting and where it comes from")
    parser.add_argument("--version", action="version", version=f"horcrux {__version__}")
    for field in msgspec.structs.fields(Settings):
        if field.name != "admin_password":  # never in argv, where every user of the host can read it
            parser.add_argument(f"--{field.name.replace('_', '-')}", dest=field.name, metavar="VALUE")
    return parser.parse_args(words)


def _flags(arguments: argparse.Namespace) -> dict[str, str]:
    return {
        field.name: value
        for field in msgspec.structs.fields(Settings)
        if (value := getattr(arguments, field.name, None)) is not None
    }


def _show(settings: Settings, origin: dict[str, str]) -> None:
    for name, source in origin.items():
        value = "(set)" if name == "admin_password" and settings.admin_password else repr(getattr(settings, name))
        sys.stdout.write(f"{name} = {value}  # {source}\n")


def _tls(settings: Settings) -> ssl.SSLContext | None:
    """Plain HTTP is for loopback alone."""
    if settings.tls_cert and settings.tls_key:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(settings.tls_cert, settings.tls_key)
        except OSError as err:
            raise Invalid(f"the certificate {settings.tls_cert} and its key cannot be used: {err}") from err
        return context
    if not _is_loopback(settings.host):
        raise Invalid(
            f"{settings.listen} can be reached from other machines: set tls_cert and tls_key, or listen on 127.0.0.1"
        )
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _serve(settings: Settings, state: NodeState, tls: ssl.SSLContext | None) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with open_node(settings, state, real_drivers, tls=tls) as node:
        # What was made so far stays for good: the collector need not look at it again.
        gc.enable()
        gc.freeze()
        _greet(node)
        notify("READY=1")
        await stopping.wait()
        notify("STOPPING=1")
        log.info("stopping: running VMs go on without the agent")


def _greet(node: Node) -> None:
    """What an operator has to know, on standard output; the set-up link is a secret and goes nowhere else."""
    lines = [f"Horcrux {__version__}, node {node.name}, serves {node.url}"]
    if node.setup_fragment is not None:
        lines.append(f"First start: open {node.url}/{node.setup_fragment} within 15 minutes to choose a password")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
