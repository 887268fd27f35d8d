"""Sizes. The API's `size_gb`, `memory_mb`, `available` and `total` are binary: GiB and MiB (contract notes, section 1)."""

import math

KIB = 1024
MIB = 1024**2
GIB = 1024**3


def gib_to_bytes(gib: float) -> int:
    """Whole bytes, rounded up to a multiple of 1 MiB so that every pool can hold it."""
    return round_up_to_mib(math.ceil(gib * GIB))


def round_up_to_mib(size_bytes: int) -> int:
    return -(-size_bytes // MIB) * MIB


def bytes_to_gib(size_bytes: int) -> float:
    """GiB with two decimals, for people; with four where two would say nothing."""
    gib = size_bytes / GIB
    return round(gib, 2) or round(gib, 4)
