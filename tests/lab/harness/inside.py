"""A part of this checkout's tests, run inside a guest."""

import io
import shlex
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tests.lab.harness.guest import Guest
from tests.lab.harness.shape import REPOSITORY

_TREE = "/srv/tree"
_RESULTS = "/run/inside.xml"
_PARTS = ("agent", "cluster", "horcrux", "tests", "docs", "systemd", "web", "pyproject.toml")
_LEFT_OUT = {"__pycache__", "node_modules", ".artifacts", "dist"}


class InsideReport(msgspec.Struct, frozen=True):
    """What became of each test, as `file::name`."""

    passed: tuple[str, ...]
    failed: tuple[str, ...]
    skipped: tuple[str, ...]
    output: str
    """All that pytest printed."""


class InsideError(AssertionError):
    """Tests inside failed, or none ran; the text is pytest's output."""


def run_tests_inside(
    guest: Guest,
    *words: str,
    timeout_s: float = 1800,
    environment: Mapping[str, str] | None = None,
    may_skip: bool = False,
) -> InsideReport:
    """The report of `pytest words…`, run as root in the guest on the working tree as it is now, by the installed agent's Python.

    InsideError where a test fails, none is collected, none passes, or (unless `may_skip`) one is skipped. What they leave behind
    stays in the guest: give them a guest that nobody else relies on, or clean up.
    """
    push_tree(guest)
    settings = {
        # The product's packages come from its venv, pytest and its plugins from /opt/tests, the code from the tree.
        "PYTHONPATH": f"{_TREE}:/opt/tests",
        "HORCRUX_INSIDE_LAB": "1",
        **(environment or {}),
    }
    pytest = ["-p", "no:cacheprovider", "-v", "--tb=short", "--color=no", "-o", "junit_family=xunit1"]
    command = shlex.join(["/opt/horcrux/bin/python", "-m", "pytest", *pytest, f"--junitxml={_RESULTS}", *words])
    exports = " ".join(f"{name}={shlex.quote(value)}" for name, value in settings.items())
    outcome = guest.attempt(f"rm -f {_RESULTS}; cd {_TREE} && {exports} {command}", timeout_s=timeout_s)
    if guest.attempt(f"test -s {_RESULTS}").status != 0:
        raise InsideError(f"pytest did not come to an end in {guest.name}:\n{outcome}")
    report = _read(guest.read(_RESULTS), outcome.stdout + outcome.stderr)
    print(report.output)
    if outcome.status != 0 or report.failed or not report.passed or (report.skipped and not may_skip):
        raise InsideError(f"{_verdict(guest, report, outcome.status)}\n{report.output}")
    return report


def push_tree(guest: Guest) -> None:
    """The guest's /srv/tree is our working tree, less what is generated."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        for part in _PARTS:
            tar.add(REPOSITORY / part, part, filter=_without_generated)
    # What Python compiled of an earlier push stays: compiling is half of the time that a run takes.
    clear = f"mkdir -p {_TREE} && find {_TREE} -type f ! -name '*.pyc' -delete"
    guest.run(f"{clear} && tar -xz -C {_TREE} --no-same-owner", stdin=packed.getvalue())


def _without_generated(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = Path(entry.name)
    return None if name.name in _LEFT_OUT or name.suffix == ".png" else entry


def _read(junit: str, output: str) -> InsideReport:
    found: dict[str, list[str]] = {"passed": [], "failed": [], "skipped": []}
    for case in ET.fromstring(junit).iter("testcase"):
        kinds = {child.tag for child in case}
        verdict = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        found[verdict].append(f"{case.get('file', '')}::{case.get('name', '')}")
    return InsideReport(tuple(found["passed"]), tuple(found["failed"]), tuple(found["skipped"]), output)


def _verdict(guest: Guest, report: InsideReport, status: int) -> str:
    counts = f"{len(report.passed)} passed, {len(report.failed)} failed, {len(report.skipped)} skipped"
    names = "".join(f"\n  {name}" for name in (*report.failed, *report.skipped))
    return f"tests inside {guest.name}: {counts} (pytest's status {status}){names}"
