"""`GET /healthz`: the one call that needs no token and tells nothing else."""

from collections.abc import Sequence

import msgspec

from agent.http.route import OPEN, AnyRoute, Call, Limit, Nothing, Route


class Health(msgspec.Struct, frozen=True):
    ok: bool


def routes() -> Sequence[AnyRoute]:
    async def health(_call: Call[Nothing, Nothing]) -> Health:
        return Health(ok=True)

    return (
        Route(
            "GET", "/healthz", health, scope=OPEN, summary="Whether the agent serves", response=Health, limit=Limit.NONE
        ),
    )
