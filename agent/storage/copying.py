"""What every driver that fills volumes with `qemu-img` asks first."""

from pathlib import Path

from horcrux.errors import NotFound

NETWORK = ("rbd:",)
"""How paths begin that QEMU opens itself."""


def check_source(name: str, source: str) -> None:
    """What volume `name` is to be filled from is there, as far as this host can see; NotFound. Blocks."""
    if not source.startswith(NETWORK) and not Path(source).exists():
        raise NotFound(f"what volume {name} is to be copied from is not there: {source}")
