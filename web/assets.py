"""Where the built console is."""

from pathlib import Path

_DIST = Path(__file__).parent / "dist"


def dist_folder() -> Path | None:
    """The folder with `index.html` and what it loads, each text file with its `.br` and `.gz`; None when it was not built."""
    return _DIST if (_DIST / "index.html").is_file() else None
