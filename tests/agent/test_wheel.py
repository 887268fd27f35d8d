"""The wheel: what is in it, and that a machine without the sources can work with it."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import web.assets
from horcrux import __version__

ROOT = Path(__file__).parents[2]
PARTS = {"horcrux", "agent", "cluster", "web"}


def run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """What the program said, whatever its status."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HORCRUX_", "PYTHON"))}
    return subprocess.run(
        [str(word) for word in words], cwd=cwd, env=kept, capture_output=True, text=True, timeout=50, check=False
    )


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="hx-wheel-") as path:
        yield Path(path)


@pytest.fixture(scope="module")
def wheel(folder: Path) -> Path:
    """Built from this checkout by the tool that users take, without the network."""
    assert web.assets.dist_folder(), "the console is not built, so the wheel would lack it: run ./dev setup first"
    words = ("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder / "dist", ROOT)
    built = run(sys.executable, *words, cwd=folder)
    assert built.returncode == 0, built.stderr
    return next((folder / "dist").glob("horcrux-*.whl"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def programs(folder: Path, wheel: Path) -> Path:
    """The `bin` of an environment that has this wheel, and what it depends on from the environment of the tests."""
    place = folder / "venv"
    venv.create(place, system_site_packages=True, with_pip=False)
    installed = run(
        sys.executable, "-m", "pip", "--python", place / "bin/python", "install", "-q", "--no-deps", wheel, cwd=folder
    )
    assert installed.returncode == 0, installed.stderr
    # A .pth that is found through a .pth is not read, so the checkout itself stays out of sight.
    site = place / f"lib/python{sysconfig.get_python_version()}/site-packages"
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin"


def test_it_holds_the_four_packages_and_nothing_else(names: list[str]) -> None:
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.startswith("horcrux-")} == PARTS
    metadata = {name.split("/")[0].rpartition(".")[2] for name in names if name.startswith("horcrux-")}
    assert metadata == {"dist-info", "data"}


def test_of_the_console_it_holds_the_built_files_alone(names: list[str]) -> None:
    files = {name for name in names if name.startswith("web/")}
    assert {name for name in files if not name.startswith("web/dist/")} == {"web/__init__.py", "web/assets.py"}
    built = {str(path.relative_to(ROOT)) for path in (ROOT / "web/dist").rglob("*") if path.is_file()}
    assert {name for name in files if name.startswith("web/dist/")} == built
    assert {"web/dist/index.html", "web/dist/index.html.br", "web/dist/index.html.gz"} <= files


def test_it_holds_what_the_demo_guest_is_made_of(names: list[str]) -> None:
    wanted = {str(path.relative_to(ROOT)) for path in (ROOT / "agent/demo/guest").iterdir()}
    assert wanted
    assert wanted <= set(names)


def test_it_brings_the_units_and_the_guide(names: list[str]) -> None:
    for source, target in (("systemd", "share/horcrux/systemd"), ("docs/guide", "share/doc/horcrux/guide")):
        shipped = {name.partition(f"/data/{target}/")[2] for name in names}
        assert {path.name for path in (ROOT / source).iterdir()} <= shipped


def test_its_programs_run_from_it_and_not_from_the_checkout(programs: Path, folder: Path) -> None:
    ask = "import agent, web.assets; print(agent.__file__); print(web.assets.dist_folder())"
    places = run(programs / "python", "-c", ask, cwd=folder).stdout.split()
    assert len(places) == 2
    assert all(place.startswith(str(programs.parent)) for place in places)


def test_horcrux_tells_its_version(programs: Path, folder: Path) -> None:
    told = run(programs / "horcrux", "version", "--url", "http://127.0.0.1:1", cwd=folder)
    assert told.returncode == 0, told.stderr
    assert __version__ in told.stdout


def test_horcrux_doctor_looks_at_the_host(programs: Path, folder: Path) -> None:
    """Whether VMs can run is the host's matter; that every finding has a reason or a detail is ours."""
    told = run(programs / "horcrux", "doctor", "--local", "-o", "json", cwd=folder)
    assert told.returncode in {0, 1}, told.stderr
    findings = json.loads(told.stdout)["capabilities"]
    assert {"libvirt", "disk images", "screens in the browser"} <= {each["name"] for each in findings}
    assert all(each["detail"] if each["ok"] else each["reason"] and each["remedy"] for each in findings)


def test_the_agent_shows_the_settings_of_an_installed_node(programs: Path, folder: Path) -> None:
    told = run(programs / "horcrux-agent", "--show-settings", cwd=folder)
    assert told.returncode == 0, told.stderr
    assert "state_dir = '/var/lib/horcrux'  # default" in told.stdout.splitlines()
