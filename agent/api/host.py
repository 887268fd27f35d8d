"""`GET /api/host`: what this host can do. `GET /api/version`: which Horcrux answers."""

import msgspec

from agent.host.probe import HostProbe
from agent.host.report import HostReport
from agent.http.route import AnyRoute, Call, Route
from horcrux import __version__
from horcrux.auth.permission import Scope


class VersionView(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    api: str
    """Version of the documented API this server speaks."""
    node: str


API_VERSION = "0.1.0"


def routes(probe: HostProbe, node: str) -> tuple[AnyRoute, ...]:
    """`node` is this node's name."""
    version = VersionView(version=__version__, api=API_VERSION, node=node)

    async def show_host(_call: Call[msgspec.Struct, msgspec.Struct]) -> HostReport:
        return await probe.report()

    async def show_version(_call: Call[msgspec.Struct, msgspec.Struct]) -> VersionView:
        return version

    return (
        Route(
            "GET",
            "/api/host",
            show_host,
            scope=Scope.HOST_READ,
            summary="What this host can do, and why not",
            response=HostReport,
        ),
        Route(
            "GET",
            "/api/version",
            show_version,
            scope=Scope.HOST_READ,
            summary="Which version answers",
            response=VersionView,
        ),
    )
