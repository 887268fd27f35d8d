"""Reads the settings from where they lie: the TOML file, the environment, the flags."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from horcrux.config import Settings, load_settings
from horcrux.errors import Invalid

DEFAULT_FILE = Path("/etc/horcrux/horcrux.toml")


def read_settings(
    file: Path | None, environment: Mapping[str, str], flags: Mapping[str, str]
) -> tuple[Settings, dict[str, str]]:
    """The settings and where each came from. A file that was named must exist; the default one may be missing. Blocks."""
    path = file or DEFAULT_FILE
    toml: dict[str, object] = {}
    if file is not None or path.exists():
        try:
            toml = tomllib.loads(path.read_text())
        except (OSError, tomllib.TOMLDecodeError) as err:
            raise Invalid(f"settings file {path}: {err}") from err
    return load_settings(toml, environment, flags)
