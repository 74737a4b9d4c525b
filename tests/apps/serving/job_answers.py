"""What the service says of jobs, and of what it refuses."""

from __future__ import annotations

import io
import time
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from PIL import Image


def ended(client: TestClient, answer: Any) -> dict[str, Any]:
    """What a job says at its end."""
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    deadline = time.monotonic() + 60
    while job["state"] in ("waiting", "running"):
        assert time.monotonic() < deadline, job
        time.sleep(0.03)  # to ask takes as long as many a step
        job = client.get(f"/jobs/{job['id']}").json()
    return job


def picture_of(client: TestClient, job: dict[str, Any], index: int = 0) -> np.ndarray:
    answer = client.get(f"/jobs/{job['id']}/picture?index={index}")
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def refused(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"error"}
    message = str(answer.json()["error"])
    assert "\n" not in message
    return message
