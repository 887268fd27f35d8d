"""How answers are shown: tables for people, JSON and YAML as the API sent it for scripts. Messages never go to stdout."""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from agent.cli.client import Document

Column = tuple[str, Callable[[Document], str]]
_COLOURS: Mapping[str, str] = {
    "running": "32",
    "completed": "32",
    "ok": "32",
    "paused": "33",
    "stopping": "33",
    "creating": "36",
    "deleting": "36",
    "queued": "36",
    "crashed": "31",
    "failed": "31",
    "lacking": "31",
    "limited": "33",
    "cancelled": "33",
}


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def cell(value: object) -> str:
    """A value as people read it in one line."""
    match value:
        case None | "" | [] | {}:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.10g}"
        case list():
            return ",".join(cell(item) for item in value)
        case dict():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return str(value)


def field(title: str, name: str) -> Column:
    """A column that shows a member as it is."""
    return title, lambda row: cell(row.get(name))


def moment(title: str, name: str) -> Column:
    """A column that shows epoch seconds as local time."""
    return title, lambda row: local_time(row.get(name))


def local_time(value: object) -> str:
    if not isinstance(value, int | float):
        return "-"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))


def size(title: str, name: str) -> Column:
    """A column that shows bytes in the largest binary unit that keeps a digit before the point."""
    return title, lambda row: human_size(row.get(name))


def human_size(value: object) -> str:
    if not isinstance(value, int | float):
        return "-"
    amount = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.4g} {unit}"
        amount /= 1024
    return f"{amount:.4g} TiB"


def has_colour() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _safe(text: str) -> str:
    """Without what a terminal would obey: names come from others."""
    return "".join(char if char.isprintable() else "?" for char in text)


def table_text(rows: Sequence[Document], columns: Sequence[Column], *, colour: bool) -> str:
    """Aligned lines under a heading. Not cut to the terminal's width: what is piped must be whole."""
    lines = [[title.upper() for title, _ in columns]]
    lines += [[_safe(show(row)) for _, show in columns] for row in rows]
    widths = [max(len(line[number]) for line in lines) for number in range(len(columns))]
    shown = []
    for at, line in enumerate(lines):
        cells = [text.ljust(width) for text, width in zip(line, widths, strict=True)]
        cells[-1] = line[-1]
        if colour:
            cells = [_coloured(text, is_heading=at == 0) for text in cells]
        shown.append("  ".join(cells).rstrip())
    return "\n".join(shown)


def _coloured(text: str, *, is_heading: bool) -> str:
    if is_heading:
        return f"\033[1m{text}\033[0m"
    colour = _COLOURS.get(text.strip())
    return f"\033[{colour}m{text}\033[0m" if colour else text


def document_text(document: Document) -> str:
    """One member a line; lists of objects below their name."""
    width = max((len(name) for name in document), default=0)
    lines = []
    for name, value in document.items():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            lines.append(f"{name}:")
            lines += ["  - " + "  ".join(f"{key}={_safe(cell(part))}" for key, part in item.items()) for item in value]
        else:
            shown = local_time(value) if _is_moment(name, value) else _safe(cell(value))
            lines.append(f"{name.ljust(width)}  {shown}")
    return "\n".join(lines)


def _is_moment(name: str, value: object) -> bool:
    """Epoch seconds, by the names that the API gives them."""
    return (name.endswith("_at") or name in {"since", "expires"}) and isinstance(value, int | float)


def as_yaml(value: object) -> str:
    import yaml

    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True)).rstrip("\n")


def as_json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
