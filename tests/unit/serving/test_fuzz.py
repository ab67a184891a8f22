"""The API's own schema, fuzzed: nothing that is sent makes the server fail."""

from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.unit.serving.running import Running

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def test_nothing_that_is_sent_makes_the_server_fail(shared: Running) -> None:
    schema = schemathesis.openapi.from_dict(shared.client.get("/openapi.json").json())
    modes = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == 11
    cases = st.one_of(
        operation.as_strategy(generation_mode=mode) for operation in operations for mode in modes
    )

    @hypothesis.seed(0)
    @settings(
        max_examples=30,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def send(case: Any) -> None:
        case.call_and_validate(base_url=shared.url, checks=CHECKS)

    send()
