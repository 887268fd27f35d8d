"""The guide keeps up with the program: every command, every setting, and no dead link."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import typer
from typer.core import TyperGroup

from agent.cli.main import app
from horcrux.auth.permission import Role, Scope
from horcrux.config import Settings

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def commands(group: object, above: str = "horcrux") -> Iterator[str]:
    assert isinstance(group, TyperGroup)
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{above} {name}")
        elif not command.hidden:
            yield f"{above} {name}"


def test_every_command_is_in_the_guide() -> None:
    group = typer.main.get_command(app)
    told = (GUIDE / "command-line.md").read_text()
    assert [each for each in commands(group) if not re.search(rf"`{each}[ `]", told)] == []


def test_every_command_in_the_guide_exists() -> None:
    group = typer.main.get_command(app)
    rows = re.findall(r"^\| `([^`]+)`", (GUIDE / "command-line.md").read_text(), re.MULTILINE)
    told = {re.sub(r" [A-Z\[].*", "", row) for row in rows if row.startswith("horcrux ")}
    assert told
    assert told <= set(commands(group))


def test_every_setting_is_in_the_guide() -> None:
    told = (GUIDE / "settings.md").read_text()
    assert [f.name for f in msgspec.structs.fields(Settings) if f"`{f.name}`" not in told] == []


def test_every_role_and_scope_is_in_the_guide() -> None:
    told = (GUIDE / "sign-in.md").read_text()
    assert [word for word in (*Role, *Scope) if f"`{word}`" not in told] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_of_a_page_is_dead(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []
