"""What schemathesis makes of the OpenAPI: every answer is one that the OpenAPI announces."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from fastapi.testclient import TestClient

EXAMPLES = 12  # of a route and a mode; tests/benchmarks/hostile_requests.py sends thousands
ROUTES = ("/generate", "/mix", "/interpolate", "/edit", "/video")


@pytest.fixture(scope="module", autouse=True)
def _hypothesis_home(request: pytest.FixtureRequest) -> None:
    """Keep what hypothesis writes out of the project, but keep it: its tables take seconds."""
    from hypothesis.configuration import set_hypothesis_home_dir

    set_hypothesis_home_dir(request.config.cache.mkdir("hypothesis"))  # type: ignore[union-attr]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("valid", [True, False])
def test_answers_are_as_announced(client: TestClient, route: str, valid: bool) -> None:
    announced = client.get("/openapi.json").json()["paths"][route]["post"]["responses"]
    statuses: Counter[int] = Counter()
    for body in bodies(client, route, valid=valid):
        answer = client.post(route, content=body, headers={"content-type": "application/json"})
        statuses[answer.status_code] += 1
        content = announced[str(answer.status_code)]["content"]
        assert answer.headers["content-type"] in content, body
        if answer.status_code != 200:
            assert set(answer.json()) == {"error"}
            assert answer.status_code in (400, 422), body
    assert sum(statuses.values()) >= EXAMPLES // 4  # some have no body at all
    if not valid:
        assert statuses[422] > 0


def test_the_shape_of_a_request_is_enough_for_an_answer(client: TestClient) -> None:
    """Bodies of the schema are not all refused: some fit this generator, too."""
    drawn = 0
    for body in bodies(client, "/generate", valid=True):
        answer = client.post(
            "/generate", content=body, headers={"content-type": "application/json"}
        )
        drawn += answer.status_code == 200
    assert drawn


def bodies(client: TestClient, route: str, *, valid: bool) -> list[bytes]:
    """Bodies that fit the route's schema, or do not; the same each time."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis import GenerationMode

    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    mode = GenerationMode.POSITIVE if valid else GenerationMode.NEGATIVE
    made: list[bytes] = []

    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(schema[route]["POST"].as_strategy(generation_mode=mode))
    def collect(case: Any) -> None:
        try:
            made.append(json.dumps(case.body).encode())
        except (TypeError, ValueError):
            return  # no JSON: the server's tests have such bodies

    collect()
    return made
