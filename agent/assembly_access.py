"""Puts together who may come in and how: sign-in, the consoles, and the HTTP server."""

import asyncio
import ssl
from collections.abc import Sequence

import msgspec

import web.assets
from agent.api import auth as auth_api
from agent.api import console as console_api
from agent.api.events import EventApi
from agent.auth.service import AuthService
from agent.auth.sessions import AuthSettings
from agent.blocking import BlockingPool
from agent.compute.registry import VmRegistry
from agent.console.proxy import VncRelay
from agent.console.serial import SerialHub
from agent.console.serial_log import SerialLogs
from agent.console.service import ConsoleService
from agent.console.tickets import TicketOffice
from agent.console.viewers import Viewers
from agent.ground import Core
from agent.http.app import HttpServer, build_app
from agent.http.idempotency_store import StoredAnswers
from agent.http.middleware.auth import Gate
from agent.http.middleware.rate_limit import MovingWindows
from agent.http.route import AnyRoute
from agent.http.settings import HttpSettings
from agent.http.static import Pages
from horcrux.config import Settings


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    auth: AuthService
    setup_fragment: str | None
    """Of the set-up link, when nobody can sign in yet."""


class Consoles(msgspec.Struct, frozen=True, kw_only=True):
    service: ConsoleService
    logs: SerialLogs


async def open_sign_in(core: Core) -> SignIn:
    """The service has started."""
    ground, undo = core.ground, core.ground.undo
    pool = BlockingPool("argon2", threads=2)
    undo.push_async_callback(asyncio.to_thread, pool.close)
    auth = AuthService(
        core.store,
        ground.clock,
        core.events,
        pool=pool,
        settings=AuthSettings(session_ttl_s=ground.settings.session_hours * 3600),
        entropy=ground.entropy,
    )
    await auth.start()
    undo.push_async_callback(auth.aclose)
    return SignIn(auth=auth, setup_fragment=await auth.first_start(ground.settings.admin_password or None))


async def open_consoles(core: Core, states: VmRegistry, auth: AuthService) -> Consoles:
    """They close for whoever is signed out."""
    ground, drivers = core.ground, core.drivers
    logs = SerialLogs(paths=drivers.paths, files=ground.files)
    serial = SerialHub(paths=drivers.paths, logs=logs, states=states, clock=ground.clock)
    await ground.undo.enter_async_context(serial)
    service = ConsoleService(
        tickets=TicketOffice(ground.clock, ground.entropy),
        viewers=Viewers(ground.clock),
        vnc=VncRelay(gate=drivers.gate, paths=drivers.paths, states=states, clock=ground.clock),
        serial=serial,
        states=states,
    )
    auth.on_ended(service.close_for)
    return Consoles(service=service, logs=logs)


def access_routes(core: Core, auth: AuthService, consoles: ConsoleService) -> Sequence[AnyRoute]:
    gate = Gate(auth, core.ground.clock)
    return (
        *auth_api.routes(auth),
        *EventApi(core.events, auth).routes(),
        *console_api.routes(consoles, gate, port=core.ground.settings.port),
    )


async def serve(core: Core, routes: Sequence[AnyRoute], auth: AuthService, tls: ssl.SSLContext | None) -> HttpServer:
    """It answers, until `undo`."""
    ground, http = core.ground, _http_settings(core.ground.settings)
    app = build_app(
        routes,
        authenticator=auth,
        tasks=core.tasks,
        audit=core.audit,
        rate_limiter=MovingWindows(http, ground.clock),
        idempotency=StoredAnswers(core.store, ground.clock, core.boot, node=ground.state.node_id),
        clock=ground.clock,
        settings=http,
        pages=await ground.files.run(lambda: Pages(web.assets.dist_folder())),
        entropy=ground.entropy,
    )
    server = HttpServer(app, ground.settings.host, ground.settings.port, tls=tls, settings=http)
    return await ground.undo.enter_async_context(server)


def _http_settings(settings: Settings) -> HttpSettings:
    return HttpSettings(
        is_rate_limited=settings.rate_limit == "on",
        requests_per_hour=settings.rate_limit_per_hour,
        backups_per_minute=settings.rate_limit_backup_per_minute,
        logins_per_minute=settings.rate_limit_login_per_minute,
        trusted_proxies=settings.trusted_proxies,
    )
