"""`horcrux image`: what disks are begun from, and ISO files."""

import hashlib
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from agent.cli.client import path_of
from agent.cli.command import Cli, command, noun
from agent.cli.exits import CliError, Exit
from agent.cli.follow import Tell, bar
from agent.cli.output import field, moment, size
from agent.cli.storage import Pool

app = noun("Images: what disks are begun from, and ISO files.")
Name = Annotated[str, typer.Argument(metavar="IMAGE")]
_PIECE = 1 << 20


class _Watched:
    """A file that tells how far it has been read; what `http.client` and `hashlib` need of one."""

    def __init__(self, stream: BinaryIO, size_bytes: int, stage: str, tell: Tell) -> None:
        self._stream = stream
        self._size = max(size_bytes, 1)
        self._stage = stage
        self._tell = tell
        self._read = 0

    def read(self, amount: int = -1, /) -> bytes:
        # http.client asks for 8 KiB at a time; larger pieces send a third faster.
        piece = self._stream.read(max(amount, _PIECE) if amount >= 0 else amount)
        self._read += len(piece)
        self._tell(self._stage, self._read / self._size)
        return piece


@command(app, "list", alias="ls")
def list_images(cli: Cli, pool: Pool = "local") -> None:
    """List the images of a pool."""
    columns = [field("name", "name"), field("format", "format"), size("size", "size_bytes")]
    columns += [size("disk size", "virtual_size_bytes"), moment("since", "created_at"), field("sha256", "sha256")]
    cli.rows(cli.client().get(path_of("storage", pool, "images")).rows, columns)


def checksum_of(path: Path, tell: Tell) -> str:
    """SHA-256 of the file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        watched = _Watched(stream, path.stat().st_size, "checksum", tell)
        while piece := watched.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def upload(cli: Cli, path: Path, pool: str, name: str) -> None:
    """The file is image `name` of the pool, whole: the agent has compared its checksum."""
    client = cli.client()
    with bar(f"upload {name}", quiet=cli.quiet) as tell:
        checksum = checksum_of(path, tell)
        size_bytes = path.stat().st_size
        with path.open("rb") as stream:
            watched = _Watched(stream, size_bytes, "sending", tell)
            answer = client.put_file(
                path_of("storage", pool, "images", name), watched, size_bytes, {"sha256": checksum}
            )
    cli.settle(client, answer, f"image {name} is in pool {pool}")


@command(app, "upload", task=True)
def upload_image(
    cli: Cli,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    name: Annotated[str | None, typer.Option(help="Its name in the pool; else the file's.")] = None,
    pool: Pool = "local",
) -> None:
    """Upload a disk image (qcow2, raw, vmdk) or an ISO file."""
    upload(cli, file, pool, name or file.name)


@command(app, "fetch", task=True)
def fetch_image(
    cli: Cli,
    source: Annotated[str, typer.Argument(metavar="ADDRESS", help="Where the agent fetches it from.")],
    name: Annotated[str | None, typer.Option(help="Its name in the pool; else the last part of the address.")] = None,
    sha256: Annotated[str | None, typer.Option(help="What its checksum must be.")] = None,
    pool: Pool = "local",
) -> None:
    """Let the agent fetch an image."""
    chosen = name or source.partition("?")[0].rstrip("/").rpartition("/")[2]
    if not chosen:
        raise CliError("the address names no file", Exit.USAGE, "give --name")
    body = {"name": chosen, "url": source} | ({"sha256": sha256} if sha256 else {})
    cli.work("POST", path_of("storage", pool, "images"), f"image {chosen} is in pool {pool}", body=body)


@command(app, "delete", task=True, asks=True, alias="rm")
def delete_image(cli: Cli, name: Name, pool: Pool = "local") -> None:
    """Delete an image; disks begun from it stay."""
    cli.confirm(f"Delete image {name} of pool {pool}?")
    cli.work("DELETE", path_of("storage", pool, "images", name), f"image {name} is deleted")
