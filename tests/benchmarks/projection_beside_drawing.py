"""How long /generate takes while a projection runs, in turns with how long it takes alone.

    python tests/benchmarks/projection_beside_drawing.py docs/results/projection-beside-drawing.json

One client asks for picture after picture of the demo, over HTTP within the process. The p95 with a
projection must be at most twice that without.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

import stylert
from stylert.apps.bench.machine import describe_machine
from stylert.apps.demo import SOURCE
from stylert.apps.serving.application import create_app
from stylert.apps.serving.settings import Settings


def ask(client: TestClient, count: int) -> list[float]:
    """Milliseconds of requests for one picture each."""
    taken = []
    for seed in range(count):
        started = time.perf_counter()
        client.post("/generate", json={"seeds": seed, "class_idx": 0}).raise_for_status()
        taken.append((time.perf_counter() - started) * 1000)
    return taken


def start(client: TestClient, picture: str) -> str:
    """A projection that has begun to take steps."""
    body = {"picture": picture, "steps": 100_000}
    job = client.post("/project", json=body).json()
    while client.get(f"/jobs/{job['id']}").json()["step"] < 3:
        time.sleep(0.01)
    return str(job["id"])


def measure(rounds: int, count: int) -> dict[str, Any]:
    """The figures."""
    samples: dict[str, list[float]] = {"alone_ms": [], "beside_ms": []}
    steps = 0
    settings = Settings(job_steps=100_000, job_seconds=3000)
    with stylert.open(SOURCE, backend="onnxruntime", provider="cpu") as generator:
        file = io.BytesIO()
        Image.fromarray(generator.generate(70, class_idx=2)[0]).save(file, "PNG")
        picture = base64.b64encode(file.getvalue()).decode()
        with TestClient(create_app(generator, settings)) as client:
            ask(client, 20)
            for _ in range(rounds):
                samples["alone_ms"] += ask(client, count)
                job = start(client, picture)
                samples["beside_ms"] += ask(client, count)
                steps += client.delete(f"/jobs/{job}").json()["step"]
    row: dict[str, Any] = {"projection_steps": steps, "load": os.getloadavg()}
    for name, values in samples.items():
        row[name] = {f"p{p}": float(np.percentile(values, p)) for p in (50, 95)}
    return row | {"p95_ratio": row["beside_ms"]["p95"] / row["alone_ms"]["p95"]}


def main() -> None:
    """Measure, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--requests", type=int, default=100)
    given = parser.parse_args()
    found = {"machine": describe_machine(), **measure(given.rounds, given.requests)}
    given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: v for k, v in found.items() if k != "machine"}))


if __name__ == "__main__":
    main()
