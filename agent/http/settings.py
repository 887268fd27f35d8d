"""What an operator may set about the server."""

import msgspec


class HttpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The limits are those of the contract (notes, section 11)."""

    is_rate_limited: bool = True
    """False for test runs (`HORCRUX_RATE_LIMIT=off`)."""
    requests_per_hour: int = 1000
    backups_per_minute: int = 100
    logins_per_minute: int = 10
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks (`10.0.0.0/8`) whose X-Forwarded-For is believed."""
    body_time_limit_s: float = 60
    shutdown_s: float = 10
    """How long requests under way may take once the server stops."""
