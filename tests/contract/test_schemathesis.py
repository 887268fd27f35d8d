"""Whatever is sent to any call of the API document: never a 500, and answers that look as the document says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from tests.support.node import fake_node_in_thread

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"
ENDLESS = "/api/events"
"""The stream answers for ever; it has tests of its own."""

schema = schemathesis.openapi.from_dict(msgspec.json.decode(DOCUMENT.read_bytes())).exclude(path=ENDLESS)
schema = schema.exclude(path="/api/auth/logout")  # would end the session of the calls after it


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    with fake_node_in_thread(tmp_path_factory.mktemp("node")) as served:
        yield served


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_makes_a_server_error_or_an_undocumented_body(case: Any, node: tuple[str, str]) -> None:
    url, token = node
    case.call_and_validate(
        base_url=url,
        headers={"Authorization": f"Bearer {token}"},
        checks=[not_a_server_error, response_schema_conformance],
        timeout=30,
    )
