"""Data sets, evaluations and the service on a small cluster of Ray, started once for all."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from stylert.apps.cluster.connection import connected
from stylert.apps.cluster.dataset_writing import write_dataset_on_ray
from stylert.apps.cluster.serving import application
from stylert.apps.cluster.serving_options import RayOptions
from stylert.apps.cluster.serving_server import deploy, serve_on_ray
from stylert.apps.datasets import DatasetJob, Seeds, write_dataset
from stylert.apps.serving.application import create_app
from stylert.cli import app
from stylert.runtime.errors import BundleError, EngineError
from stylert.runtime.generator import Generator
from stylert.runtime.images import save_image

JOB = DatasetJob(seeds=Seeds.of(range(400)), container="webdataset", shard_size=50)


def test_nobody_answers_at_an_address(
    refuses: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    for given in (address, f"ray://{address}"):
        with refuses("No Ray cluster at", given, "ray start --head", error=EngineError):
            connected(given).__enter__()
    monkeypatch.setenv("RAY_ADDRESS", address)
    with refuses("No Ray cluster at", address, error=EngineError):
        connected("auto").__enter__()


def test_what_is_no_address(refuses: Callable[..., Any]) -> None:
    for given in ("", "here", "host:", "host:0", "host:port", ":6379", "host:70000"):
        with refuses("expected auto, local, or HOST:PORT"):
            connected(given).__enter__()


class SlowRay:
    """Starts too slowly for itself, a number of times."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls: list[str] = []

    def is_initialized(self) -> bool:
        return False

    def init(self, **_: Any) -> None:
        self.calls.append("init")
        if self.calls.count("init") <= self.failures:
            raise Exception("The current node timed out\nduring startup.")

    def shutdown(self) -> None:
        self.calls.append("shutdown")


def test_a_slow_start_is_tried_once_more(
    monkeypatch: pytest.MonkeyPatch, refuses: Callable[..., Any]
) -> None:
    slow, slower = SlowRay(1), SlowRay(2)
    monkeypatch.setattr("stylert.apps.cluster.connection.import_ray", lambda: slow)
    with connected("local"):
        assert slow.calls == ["init", "shutdown", "init"]
    assert slow.calls[3:] == ["shutdown"]
    monkeypatch.setattr("stylert.apps.cluster.connection.import_ray", lambda: slower)
    with refuses("Ray at local: The current node timed out during startup.", error=EngineError):
        connected("local").__enter__()
    assert slower.calls == ["init", "shutdown"] * 2


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        # A replica that cannot start is tried once, not three times: each takes seconds.
        patch.setenv("RAY_SERVE_MAX_PER_REPLICA_RETRY_COUNT", "1")
        with connected("local") as ray:
            yield ray


def kill_one(title: str) -> bool:
    """Kill a process of the cluster, if there is one: Ray puts an actor's class into its title."""
    children = psutil.Process().children(recursive=True)
    pids = [child.pid for child in children if child.name().startswith(title)]
    for pid in pids[:1]:
        os.kill(pid, signal.SIGKILL)
    return bool(pids)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Interrupted(Exception):
    """Ends a writer early."""


def test_a_data_set_is_the_same_whoever_writes_it_and_dies(
    cluster: Any, bundle: Path, tmp_path: Path
) -> None:
    def interrupt(done: int, total: int) -> None:
        if done >= 60:
            raise Interrupted

    with Generator.open(bundle, provider="cpu", threads=1) as generator:
        write_dataset(generator, JOB, tmp_path / "alone")
        with pytest.raises(Interrupted):
            write_dataset(generator, JOB, tmp_path / "shared", progress=interrupt)
    steps: list[int] = []

    def kill_first(done: int, total: int) -> None:
        if not steps:
            assert kill_one("ray::ShardActor")
        steps.append(done)

    def on_ray(**options: Any) -> Any:
        return write_dataset_on_ray(bundle, JOB, tmp_path / "shared", threads=1, **options)

    result = on_ray(actors=2, progress=kill_first)
    assert contents(tmp_path / "shared") == contents(tmp_path / "alone")
    assert result.deaths == 1
    assert result.images == 400
    assert 0 < result.drawn < 400
    assert [file.name for file in result.files][::7] == ["shard-000000.tar", "shard-000007.tar"]
    assert "of 1 CPU on 1 machine: onnxruntime" in result.choice
    assert steps == sorted(steps)
    assert steps[-1] == 400
    assert on_ray(actors=1).drawn == 0


def test_what_an_actor_refuses_is_told_as_one_line(
    cluster: Any, bundle: Path, tmp_path: Path, refuses: Callable[..., Any]
) -> None:
    with refuses("The machine", "no bundle at", error=BundleError):
        write_dataset_on_ray(tmp_path / "none", JOB, tmp_path / "out", threads=1)
    (tmp_path / "shard-000003.tar").touch()
    with refuses("shard-000003.tar exists", "force=True"):
        write_dataset_on_ray(bundle, JOB, tmp_path, threads=1, actors=1)
    with refuses("No machine of the cluster has room", "64 GPUs", error=EngineError):
        write_dataset_on_ray(bundle, JOB, tmp_path / "out", gpus=64)
    with refuses("actors: got 0"):
        write_dataset_on_ray(bundle, JOB, tmp_path / "out", actors=0)
    assert not (tmp_path / "out").exists()


def test_actors_that_die_again_and_again_end_the_job(
    cluster: Any,
    bundle: Path,
    tmp_path: Path,
    refuses: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stylert.apps.cluster.dataset_fleet.MOST_DEATHS", 1)
    with refuses("1 actors died", "run the same again", error=EngineError):
        write_dataset_on_ray(
            bundle,
            JOB,
            tmp_path / "out",
            threads=1,
            actors=1,
            progress=lambda done, total: kill_one("ray::ShardActor"),
        )


def test_an_evaluation_is_the_same_whoever_draws(
    cluster: Any, bundle: Path, means_network: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for i, image in enumerate(np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)):
        save_image(image, data / f"{i}.png")
    words = ("evaluate", bundle, "--data", data, "--samples", 300, "--features", means_network)
    words += ("--metrics", "fid", "--threads", 1, "--json")
    told = []
    for more in (("--keep", tmp_path / "alone"), ("--keep", tmp_path / "shared", "--ray", "auto")):
        done = CliRunner().invoke(app, [str(word) for word in (*words, *more)])
        assert done.exit_code == 0, (done.output, done.exception)
        told.append(json.loads(done.stdout))
    assert told[0] == told[1]
    assert contents(tmp_path / "shared") == contents(tmp_path / "alone")


# The service.


def served(bundle: Path, **options: Any) -> RayOptions:
    return RayOptions(bundle=str(bundle), cpus=0.5, **options)


def test_a_port_in_use(cluster: Any, bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="the port is in use; choose another") as caught:
            serve_on_ray(served(bundle), port=port)
    assert caught.value.filename == f"127.0.0.1:{port}"


class Answer(NamedTuple):
    status: int
    kind: str | None
    body: bytes


class Client(NamedTuple):
    port: int

    def ask(self, method: str, path: str, content: Any = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        try:
            body = None if content is None else json.dumps(content)
            kind = {"content-type": "application/json"}
            connection.request(method, path, body, {**kind, **headers})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers.get("content-type"), answer.read())
        finally:
            connection.close()


@pytest.fixture(scope="module")
def client(cluster: Any, bundle: Path) -> Iterator[Client]:
    """Of a service of one replica."""
    ports: list[int] = []
    end = threading.Event()
    options = served(bundle, batch_wait=0.05)

    def serve() -> None:
        serve_on_ray(
            options,
            port=0,
            ready=lambda address: ports.append(int(address.rpartition(":")[2])),
            wait=end.wait,
        )

    thread = threading.Thread(target=serve)
    thread.start()
    while not ports:
        assert thread.is_alive(), "the service did not start"
        time.sleep(0.05)
    yield Client(ports[0])
    end.set()
    thread.join(60)
    assert not thread.is_alive()


REQUESTS: list[tuple[str, str, Any, dict[str, str]]] = [
    ("GET", "/healthz", None, {}),
    ("GET", "/", None, {}),
    ("POST", "/generate", {"seeds": [1, 2], "truncation_psi": 0.5}, {}),
    ("POST", "/generate", {"seeds": [3], "format": "npy", "output": "img"}, {}),
    ("POST", "/edit", {"seeds": [1], "direction": "sefa_all_0", "strength": 2}, {}),
    ("POST", "/generate", {"seeds": [-1]}, {}),
    ("POST", "/generate", {"seeds": list(range(65))}, {}),
    ("POST", "/nothing", {}, {}),
    ("POST", "/generate", {"seeds": [1], "x": "y" * (1 << 20)}, {}),
    ("POST", "/generate", {"seeds": [1], "x": "y" * (16 << 20)}, {"connection": "close"}),
    ("PUT", "/generate", {"x": "y" * (4 << 20)}, {"connection": "close"}),
    ("POST", "/generate", {"seeds": [1]}, {"content-type": "text/plain"}),
    ("GET", "/healthz", None, {"host": "another.example"}),
]


def test_the_answers_are_those_of_the_service(client: Client, bundle: Path) -> None:
    settings = served(bundle).settings()
    with (
        Generator.open(bundle, provider="cpu", threads=1) as generator,
        TestClient(create_app(generator, settings), base_url="http://localhost") as alone,
    ):
        for method, path, content, headers in REQUESTS:
            expected = alone.request(method, path, json=content, headers=headers)
            got = client.ask(method, path, content, **headers)
            assert got.status == expected.status_code, (path, got)
            assert got.kind == expected.headers["content-type"]
            assert got.body == expected.content, path


def test_images_of_many_clients_are_drawn_together(client: Client) -> None:
    with ThreadPoolExecutor(16) as threads:
        asked = [
            threads.submit(client.ask, "POST", "/generate", {"seeds": [seed]}) for seed in range(64)
        ]
        assert {one.result().status for one in asked} == {200}
    text = client.ask("GET", "/metrics").body.decode()
    numbers = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[:1] != "#")
    calls = float(numbers['stylert_batch_size_count{call="mapping+synthesis"}'])
    images = float(numbers['stylert_batch_size_sum{call="mapping+synthesis"}'])
    assert images > calls


def test_two_services_do_not_share_a_cluster(
    client: Client, bundle: Path, refuses: Callable[..., Any]
) -> None:
    with refuses("Ray Serve runs on this cluster already", "serve deploy", error=EngineError):
        serve_on_ray(served(bundle), port=0)


def test_a_replica_that_cannot_start_is_told_as_one_line(
    client: Client, bundle: Path, refuses: Callable[..., Any]
) -> None:
    other = application(served(bundle, sha256="f" * 64))
    with refuses("on the machine", "is another than the deployment's", error=EngineError):
        deploy(other, name="other", route_prefix="/other")
    assert client.ask("GET", "/healthz").status == 200


def test_a_replica_that_dies_loses_no_request_silently(client: Client) -> None:
    """Each request ends with its picture or an error; those that came too early wait."""

    def ask(seed: int) -> Answer:
        return client.ask("POST", "/generate", {"seeds": [seed % 8]})

    pictures = [ask(seed).body for seed in range(8)]
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(ask, seed) for seed in range(160)]
        asked[20].result()
        assert kill_one("ray::ServeReplica:stylert:StyleRT")
        answers = [one.result() for one in asked]
    for seed, answer in enumerate(answers):
        assert answer.status in (200, 500, 503), answer
        if answer.status == 200:
            assert answer.body == pictures[seed % 8]
    assert sum(answer.status == 200 for answer in answers) > 100
    assert ask(0).body == pictures[0]
