"""The agent that is installed in a guest, under systemd, and its API."""

import functools
import http.client
import json
from collections.abc import Mapping
from typing import Any

import msgspec

from tests.lab.harness.guest import Guest, GuestError
from tests.support.agent_process import PASSWORD
from tests.support.waiting import block_until

_UNIT = "horcrux-agent.service"
_SETTINGS = "/etc/horcrux/horcrux.toml"
_PORT = 8006
_START_S = 600.0
_POLL_S = 0.2
_ENDED = {"completed", "failed", "cancelled"}


class ApiAnswer(msgspec.Struct, frozen=True):
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text) if self.text else None


class InstalledAgent:
    """Begun and ended with systemctl; signed in as admin. The API is reached by a port of ours that leads into the guest."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self._token = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.guest.forward(_PORT)}"

    def start(self, **settings: str | int) -> None:
        """Active and healthy. `settings` are those of /etc/horcrux/horcrux.toml; the ones of an earlier start are forgotten."""
        chosen: dict[str, str | int] = {"admin_password": PASSWORD, "rate_limit": "off", **settings}
        lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in chosen.items())
        self.guest.write(_SETTINGS, lines, mode="600")
        outcome = self.guest.attempt(
            f"systemctl reset-failed {_UNIT} 2>/dev/null || true; systemctl restart {_UNIT}", timeout_s=_START_S
        )
        if outcome.status != 0:
            raise GuestError(f"{self.guest.name}: the agent did not start\n{outcome}\n{self.journal()}")
        self.until_healthy()

    def enable(self) -> None:
        """From now on it starts with the guest, with the settings of the last start; `until_healthy` waits for it."""
        self.guest.run("systemctl enable -q horcrux.target && sync")

    def stop(self) -> None:
        self.guest.run(f"systemctl stop {_UNIT}")

    def kill(self) -> None:
        """kill -9; systemd does not start it again."""
        self.guest.run(
            f"systemctl kill -s KILL {_UNIT}; systemctl stop {_UNIT}; systemctl reset-failed {_UNIT} || true"
        )

    def is_active(self) -> bool:
        return self.guest.attempt(f"systemctl is-active -q {_UNIT}").status == 0

    def journal(self) -> str:
        return self.guest.journal(_UNIT)

    def until_healthy(self, timeout_s: float = _START_S) -> None:
        """/healthz answers, after a start, a crash or a power cut."""
        try:
            block_until(self._health, lambda said: said == "200", timeout_s=timeout_s, every_s=_POLL_S)
        except TimeoutError as err:
            raise GuestError(f"{self.guest.name}: no healthy agent: {err}\n{self.journal()}") from err

    # ------------------------------------------------------------------ the API

    def get(self, path: str, status: int = 200) -> Any:
        return self.call("GET", path, status=status)

    def post(self, path: str, body: object = None, status: int | tuple[int, ...] = (200, 201)) -> Any:
        return self.call("POST", path, body, status=status)

    def patch(self, path: str, body: object, status: int = 200) -> Any:
        return self.call("PATCH", path, body, status=status)

    def put(self, path: str, body: object = None, status: int | tuple[int, ...] = (200, 201)) -> Any:
        return self.call("PUT", path, body, status=status)

    def delete(self, path: str, status: int | tuple[int, ...] = (200, 204)) -> Any:
        return self.call("DELETE", path, status=status)

    def call(self, method: str, path: str, body: object = None, *, status: int | tuple[int, ...] = 200) -> Any:
        """The JSON of the answer, which has (one of) `status`; the call waits for the task behind it."""
        answer = self.exchange(method, path, body)
        allowed = (status,) if isinstance(status, int) else status
        if answer.status not in allowed:
            raise GuestError(f"{self.guest.name}: {method} {path}: {answer.status} {answer.text}")
        return answer.json

    def begin(self, method: str, path: str, body: object = None) -> str:
        """The id of the task that was begun and goes on."""
        answer = self.exchange(method, path, body, headers={"Prefer": "respond-async"})
        if answer.status != http.client.ACCEPTED:
            raise GuestError(f"{self.guest.name}: {method} {path}: {answer.status} {answer.text}")
        return str(answer.json["id"])

    def ended(self, task_id: str, timeout_s: float = 300) -> Any:
        """The task once it is over, however it ended."""
        look = functools.partial(self.get, f"/api/tasks/{task_id}")
        try:
            return block_until(look, lambda task: task["state"] in _ENDED, timeout_s=timeout_s, every_s=_POLL_S)
        except TimeoutError as err:
            raise GuestError(f"{self.guest.name}: task {task_id} goes on: {err}") from err

    def exchange(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        headers: Mapping[str, str] | None = None,
        signed_in: bool = True,
        timeout_s: float = 600,
    ) -> ApiAnswer:
        """What came back, whatever its status. OSError or HTTPException where the agent is not there, or dies meanwhile."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        if signed_in:
            sent["Authorization"] = f"Bearer {self._signed_in()}"
        connection = http.client.HTTPConnection("127.0.0.1", self.guest.forward(_PORT), timeout=timeout_s)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        finally:
            connection.close()
        return ApiAnswer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, text)

    def _health(self) -> str:
        """The status of /healthz, or why there is none."""
        try:
            return str(self.exchange("GET", "/healthz", signed_in=False).status)
        except (OSError, http.client.HTTPException) as err:
            return repr(err)

    def _signed_in(self) -> str:
        if not self._token:
            order = {"username": "admin", "password": PASSWORD}
            answer = self.exchange("POST", "/api/auth/login", order, signed_in=False)
            if answer.status != http.client.OK:
                raise GuestError(f"{self.guest.name}: sign-in: {answer.status} {answer.text}")
            self._token = str(answer.json["token"])
        return self._token
