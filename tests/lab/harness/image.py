"""Where the guests' disk lies; built or brought up to date first."""

import os
import subprocess
from pathlib import Path

from tests.lab.harness.shape import REPOSITORY


class ImageError(Exception):
    """The image could not be built; the text is what the builder said."""


def image_folder() -> Path:
    """The image of this checkout as it is now. `HORCRUX_LAB_IMAGE=newest` takes the newest there is instead, a path that one."""
    wanted = os.environ.get("HORCRUX_LAB_IMAGE", "")
    if wanted == "newest":
        return newest_image()
    if wanted:
        return Path(wanted)
    built = subprocess.run([REPOSITORY / "dev", "lab-image"], capture_output=True, text=True, check=False)
    if built.returncode != 0:
        raise ImageError(f"{built.stderr}\nWith HORCRUX_LAB_IMAGE=newest an earlier image is taken.")
    return Path(built.stdout.splitlines()[-1])


def newest_image() -> Path:
    """The newest image in the cache, of whatever state of the code."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "horcrux-lab")
    found = sorted(cache.glob("image-*/ok"), key=lambda ok: ok.stat().st_mtime)
    if not found:
        raise ImageError("no image was built yet: sudo ./dev lab-image")
    return found[-1].parent
