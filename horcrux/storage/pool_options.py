"""What a new pool stands on, checked by its type: the target, and the options that the type knows."""

from collections.abc import Mapping

from horcrux.errors import invalid_field
from horcrux.storage.pool import PoolType, check_pool_target


def check_pool(storage_type: PoolType, target: str, options: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Target and options as they are kept; Invalid names the field (`target`, `options.<key>`)."""
    match storage_type:
        case PoolType.DIR:
            check_keys(options, ())
            return check_pool_target(target, "target"), {}
        case _:
            raise invalid_field("storage_type", f"pools of type {storage_type} are not offered yet")


def check_keys(options: Mapping[str, str], known: tuple[str, ...]) -> None:
    """Invalid for an option that the type does not know."""
    for key in options:
        if key not in known:
            there = ", ".join(known) or "none"
            raise invalid_field(f"options.{key[:40]}", f"not an option of this type of pool; there are: {there}")
