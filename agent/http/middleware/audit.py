"""Every call with an audit action leaves an entry, done or refused."""

from agent.http.exchange import Exchange
from agent.http.ports import AuditSink
from horcrux.audit import AuditEntry
from horcrux.clock import Clock

MAX_DETAILS = 500
"""A refusal may quote what was sent, which anybody may choose, and the audit is kept for long."""


class Auditor:
    def __init__(self, sink: AuditSink, clock: Clock) -> None:
        self._sink = sink
        self._clock = clock

    def record(self, exchange: Exchange, status: int, details: str = "") -> None:
        """Nothing for a route without an audit action."""
        route = exchange.route
        if route is None or route.audit is None:
            return
        entry = AuditEntry(
            at=self._clock.now(),
            user=_user_of(exchange),
            action=route.audit,
            status=status,
            target=exchange.target or exchange.raw.path,
            address=exchange.address,
            request_id=exchange.request_id,
            details=details[:MAX_DETAILS],
        )
        self._sink.record(entry)


def _user_of(exchange: Exchange) -> str:
    """The principal's name; of a log-in, the name that was tried."""
    if exchange.principal is not None:
        return exchange.principal.user
    tried = getattr(exchange.call.body, "username", "") if exchange.call else ""
    return tried[:63] if isinstance(tried, str) else ""
