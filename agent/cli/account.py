"""Which agent is spoken to and with which token: from flags, the environment, or what `horcrux login` kept."""

import os
from pathlib import Path

import msgspec

from agent.cli.exits import CliError

DEFAULT_URL = "http://127.0.0.1:8006"


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A session that `horcrux login` was given."""

    token: str
    username: str
    expires: int


class Accounts(msgspec.Struct, frozen=True, kw_only=True):
    """The file: sessions by the agent's address; `last` is the one used when none is named."""

    last: str = ""
    sessions: dict[str, Kept] = {}


def _file() -> Path:
    root = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(root) if root else Path.home() / ".config") / "horcrux" / "sessions.json"


def read_accounts() -> Accounts:
    try:
        return msgspec.json.decode(_file().read_bytes(), type=Accounts)
    except FileNotFoundError:
        return Accounts()
    except (OSError, msgspec.DecodeError) as err:
        raise CliError(f"{_file()} cannot be read: {err}", next_step="delete it and sign in again") from err


def write_accounts(accounts: Accounts) -> None:
    """Kept in a file that only its owner may read, from its first byte on."""
    path = _file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(msgspec.json.encode(accounts))
            stream.flush()
            os.fsync(stream.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def choose_url(flag: str | None) -> str:
    """The flag, else HORCRUX_URL, else where one signed in last, else this host."""
    url = flag or os.environ.get("HORCRUX_URL", "") or read_accounts().last or DEFAULT_URL
    return url.rstrip("/").removesuffix("/api")


def choose_token(url: str) -> str:
    """HORCRUX_TOKEN, else the kept session's for that address; empty when there is none."""
    if token := os.environ.get("HORCRUX_TOKEN", ""):
        return token
    kept = read_accounts().sessions.get(url)
    return kept.token if kept else ""


def keep_session(url: str, session: Kept) -> None:
    accounts = read_accounts()
    write_accounts(Accounts(last=url, sessions={**accounts.sessions, url: session}))


def forget_session(url: str) -> None:
    accounts = read_accounts()
    left = {address: kept for address, kept in accounts.sessions.items() if address != url}
    write_accounts(Accounts(last=accounts.last if accounts.last != url else "", sessions=left))
