"""The demo's bootable disk image, for tests that need a real guest."""

import functools
from pathlib import Path

from agent.demo.image import SENTENCE, cached_demo_image, default_cache

__all__ = ["SENTENCE", "demo_image"]


@functools.cache
def demo_image() -> Path:
    """Path of the demo's qcow2 image; built at the first call ever, then kept below the cache folder. Blocks, so an async
    test calls it through `asyncio.to_thread` or a plain fixture. Copy it before a guest writes to it."""
    return cached_demo_image(default_cache())
