"""Debian packages as raw material: fetched with apt, unpacked with dpkg, never installed."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from horcrux.errors import HostLacks, Unreachable

_URI = re.compile(r"^'(?P<uri>[^']+)' (?P<file>\S+) \d+ (?P<hash>\S*)", re.MULTILINE)
_FETCH_TIMEOUT_S = 900


class DebianPackage(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a package that apt can fetch. `checksum` is apt's own (`SHA256:…`)."""

    name: str
    file_name: str
    checksum: str


def run_tool(argv: Sequence[str], *, cwd: Path | None = None, beside: Path | None = None, timeout_s: int = 300) -> str:
    """What the program wrote; HostLacks when it is missing or fails, with its last words. What it calls by name itself is
    looked for in the folder `beside` first."""
    path = os.environ.get("PATH", os.defpath)
    if shutil.which(argv[0]) is None:
        raise HostLacks(f"the program {argv[0]} is not on this host, and the demo image cannot be built without it")
    done = subprocess.run(
        argv,
        cwd=cwd,
        env={**os.environ, "LC_ALL": "C", "PATH": f"{beside}:{path}" if beside else path},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        errors="replace",
    )
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise HostLacks(f"{Path(argv[0]).name} failed: {words[-1] if words else f'exit code {done.returncode}'}")
    return done.stdout


def _need_apt() -> None:
    if shutil.which("apt-get") is None:
        raise HostLacks("this host has no apt-get: the demo image is made from Debian packages, so it needs Debian")


def real_package(name: str) -> str:
    """What the meta package `name` stands for: its first dependency; `name` itself when it has none."""
    _need_apt()
    found = re.search(r"^\s*Depends: (\S+)", run_tool(["apt-cache", "depends", name]), re.MULTILINE)
    return found[1] if found else name


def resolve(names: Sequence[str]) -> list[DebianPackage]:
    """The versions apt would fetch now; needs apt's lists, not the network."""
    _need_apt()
    try:
        listing = run_tool(["apt-get", "download", "--print-uris", *names])
    except HostLacks as error:
        raise HostLacks(
            f"apt does not know all packages of the demo image ({', '.join(names)}): {error}. "
            "Run `apt-get update` and try again"
        ) from error
    found = [
        DebianPackage(name=match["file"].partition("_")[0], file_name=match["file"], checksum=match["hash"])
        for match in _URI.finditer(listing)
    ]
    missing = set(names) - {package.name for package in found}
    if missing:
        raise HostLacks(f"apt does not offer {', '.join(sorted(missing))}: run `apt-get update` and try again")
    return sorted(found, key=lambda package: package.name)


def fetch(package: DebianPackage, folder: Path) -> Path:
    """Path of the package's file in `folder`; fetched when it is not there yet."""
    kept = folder / package.file_name
    if kept.is_file():
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    # Not in `folder`: apt's unprivileged fetcher needs a place it may enter, and a cut-off file must not look whole.
    with tempfile.TemporaryDirectory(prefix="horcrux-apt-") as place:
        try:
            run_tool(["apt-get", "download", package.name], cwd=Path(place), timeout_s=_FETCH_TIMEOUT_S)
        except (HostLacks, subprocess.TimeoutExpired) as error:
            raise Unreachable(
                f"the Debian package {package.name} could not be fetched ({error}): "
                "check this host's way to its Debian mirror and try again"
            ) from error
        arrived = next(iter(Path(place).glob("*.deb")), None)
        if arrived is None:
            raise Unreachable(f"apt fetched nothing for {package.name}: run `apt-get update` and try again")
        partial = kept.with_name(f".{kept.name}.{os.getpid()}")
        shutil.copyfile(arrived, partial)
        partial.rename(kept)
    return kept


def unpack(archive: Path, folder: Path) -> None:
    """The package's files lie under `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    run_tool(["dpkg-deb", "-x", str(archive), str(folder)])


def fingerprint_of_packages(packages: Sequence[DebianPackage]) -> str:
    """8 hex digits that change when a package does."""
    return _digest(f"{package.file_name} {package.checksum}\n".encode() for package in packages)


def fingerprint_of_files(paths: Sequence[Path]) -> str:
    """8 hex digits that change when one of the files does."""
    return _digest(path.name.encode() + b"\0" + path.read_bytes() for path in sorted(paths))


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:8]
