"""The service on Ray Serve, as far as no cluster is needed: options, serve.yaml, opening, health.

What runs on a cluster is in tests/apps/cluster/test_connection.py.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from stylert.apps.cluster import serving_server
from stylert.apps.cluster.serving import (
    app,
    application,
    draw_something,
    open_bundle,
    pinned,
    serve_yaml,
)
from stylert.apps.cluster.serving_metrics import Twins
from stylert.apps.cluster.serving_options import RayOptions
from stylert.apps.serving.metrics import Metrics
from stylert.runtime.errors import BundleError, EngineError, InvalidInput
from stylert.runtime.generator import Generator


def test_options_come_as_texts() -> None:
    options = RayOptions.parse({"bundle": "b", "gpus": "0.5", "max_replicas": "4", "token": "t"})
    assert (options.gpus, options.max_replicas, options.min_replicas) == (0.5, 4, 1)
    assert options.deployment()["ray_actor_options"] == {"num_cpus": 1, "num_gpus": 0.5}
    assert RayOptions.parse(options.model_dump()) == options


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, ("bundle: got none", "bundle=...")),
        ({"bundle": "b", "gpu": "1"}, ("gpu: no such option", "gpus")),
        ({"bundle": "b", "gpus": "many"}, ("gpus", "number")),
        ({"bundle": "b", "gpus": "-1"}, ("gpus", "0")),
        ({"bundle": "b", "min_replicas": "2"}, ("min_replicas: got 2", "max_replicas, 1")),
        ({"bundle": "b", "seconds": "inf"}, ("draw_seconds", "inf")),
        ({"bundle": "b", "token": "two words"}, ("token",)),
    ],
)
def test_options_that_do_not_fit(
    arguments: dict[str, Any], words: tuple[str, ...], refuses: Callable[..., Any]
) -> None:
    with refuses(*words):
        RayOptions.parse(arguments)


def test_without_a_token_only_this_machine_is_served() -> None:
    def hosts(**arguments: Any) -> Any:
        return RayOptions(bundle="b", **arguments).settings().hosts

    assert hosts() == ("localhost", "127.0.0.1", "[::1]")
    assert hosts(token="t") is None
    assert hosts(hosts=("*",)) is None
    assert hosts(hosts=("pictures.example",), token="t") == ("pictures.example",)


def test_a_replica_refuses_by_itself_what_it_has_no_room_for() -> None:
    options = RayOptions(bundle="b", max_queue=32, max_images=64)
    assert options.settings().max_images == 32
    assert options.deployment()["max_ongoing_requests"] > 32


def test_the_bundle_is_pinned_where_it_is_deployed(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, refuses: Callable[..., Any]
) -> None:
    monkeypatch.chdir(bundle.parent)
    options = pinned(RayOptions(bundle=bundle.name))
    with Generator.open(bundle, provider="cpu") as generator:
        assert options.sha256 == generator.bundle.manifest["sha256"]
    assert options.bundle == str(bundle)
    assert pinned(RayOptions(bundle="/not/here", sha256="s")).sha256 == "s"
    with refuses("No bundle at", error=BundleError):
        pinned(RayOptions(bundle="/not/here"))


def test_a_replica_opens_the_bundle_of_the_deployment(bundle: Path) -> None:
    with open_bundle(pinned(RayOptions(bundle=str(bundle), batch=3)), cpus=2, gpus=0) as generator:
        facts = generator.describe()
        assert (generator.max_batch, facts["threads"], facts["provider"]) == (3, 2, "cpu")


def test_engines_of_others_run_where_the_deployment_trusts_them(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[bool] = []

    def open_generator(path: str, *, trust_engines: bool, **options: Any) -> Generator:
        opened.append(trust_engines)
        return real(path, trust_engines=trust_engines, **options)

    real = Generator.open
    monkeypatch.setattr(Generator, "open", open_generator)
    for text in ("1", "0"):
        options = pinned(RayOptions.parse({"bundle": str(bundle), "trust_engines": text}))
        open_bundle(options, cpus=1, gpus=0).close()
        arguments = yaml.safe_load(serve_yaml(options))["applications"][0]["args"]
        assert arguments.get("trust_engines", False) is options.trust_engines
    assert opened == [True, False]


def test_a_machine_with_another_bundle_or_none(bundle: Path, refuses: Callable[..., Any]) -> None:
    with refuses("on the machine", "another", "ffffffffffff...", "Copy", error=BundleError):
        open_bundle(RayOptions(bundle=str(bundle), sha256="f" * 64), cpus=1, gpus=0)
    with refuses("The machine", "no bundle at /not/here", "Copy", error=BundleError):
        open_bundle(RayOptions(bundle="/not/here", sha256="s"), cpus=1, gpus=0)


def test_a_replica_is_healthy_as_long_as_it_draws(bundle: Path, conditional: Generator) -> None:
    draw_something(conditional)
    generator = Generator.open(bundle, provider="cpu")
    draw_something(generator)
    generator.close()
    with pytest.raises(EngineError, match="closed"):
        draw_something(generator)


def test_the_file_for_serve_deploy(bundle: Path, refuses: Callable[..., Any]) -> None:
    options = RayOptions(
        bundle=str(bundle), gpus=0.25, max_replicas=3, token="secret", hosts=("a", "b"), batch=4
    )
    text = serve_yaml(options, host="0.0.0.0", port=9000)
    assert "secret" not in text
    content = yaml.safe_load(text)
    assert content["http_options"] == {"host": "0.0.0.0", "port": 9000}
    (deployed,) = content["applications"]
    assert deployed["import_path"] == "stylert.apps.cluster.serving:app"
    arguments = RayOptions.parse(deployed["args"])
    assert arguments.sha256 == pinned(options).sha256
    assert (arguments.batch, arguments.hosts) == (4, ("a", "b"))
    (deployment,) = deployed["deployments"]
    assert deployment["name"] == app(deployed["args"])._bound_deployment.name
    assert deployment["autoscaling_config"]["max_replicas"] == 3
    assert deployment["ray_actor_options"]["num_gpus"] == 0.25
    assert deployment["health_check_period_s"] <= 2
    with refuses("port: got 0"):
        serve_yaml(options, port=0)


def test_the_application_for_serve_run(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STYLERT_TOKEN", "from the environment".replace(" ", "-"))
    built = app({"bundle": str(bundle), "gpus": "0.5", "batch": "2"})._bound_deployment
    assert built.ray_actor_options["num_gpus"] == 0.5
    assert built.init_args[0]["token"] == "from-the-environment"
    assert RayOptions.parse(built.init_args[0]).batch == 2


def test_an_empty_token_is_no_open_door(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, refuses: Callable[..., Any]
) -> None:
    options = RayOptions(bundle=str(bundle))
    for empty in ("", " "):
        monkeypatch.setenv("STYLERT_TOKEN", "s3cret")
        with refuses("token: got an empty one"):
            application(options.model_copy(update={"token": empty}))
        monkeypatch.setenv("STYLERT_TOKEN", empty)
        with refuses("STYLERT_TOKEN: got an empty text"):
            application(options)


def test_serve_run_tells_errors_as_one_line() -> None:
    import click

    for arguments, words in (({}, "bundle: got none"), ({"bundle": "/not/here"}, "No bundle at")):
        with pytest.raises(click.ClickException, match=words) as caught:
            app(arguments)
        assert "\n" not in caught.value.message


def test_a_proxy_that_ray_kills_is_told_as_one_line(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, refuses: Callable[..., Any]
) -> None:
    from ray.exceptions import ActorUnavailableError

    calls: list[str] = []

    class BusyServe:
        def status(self) -> Any:
            return SimpleNamespace(proxies={})

        def start(self, **_: Any) -> None:
            calls.append("start")
            raise ActorUnavailableError("The proxy was killed.\nIts log follows.", None)

        def shutdown(self) -> None:
            calls.append("shutdown")

    monkeypatch.setattr(serving_server, "connected", nullcontext)
    monkeypatch.setattr(serving_server, "import_serve", BusyServe)
    words = ("proxy did not start", "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S=20")
    with refuses(*words, error=EngineError):
        serving_server.serve_on_ray(RayOptions(bundle=str(bundle)), port=0)
    assert calls == ["start", "shutdown"]


def test_what_is_counted_is_counted_twice() -> None:
    told: list[tuple[str, float, dict[str, str]]] = []

    class Theirs:
        def inc(self, amount: float, tags: dict[str, str]) -> None:
            told.append(("inc", amount, tags))

        def observe(self, value: float, tags: dict[str, str]) -> None:
            told.append(("observe", value, tags))

    metrics = Metrics()
    Twins(metrics.images, Theirs(), ()).inc(3)
    Twins(metrics.images, Theirs(), ()).inc(0)  # Ray refuses to count nothing
    Twins(metrics.batches, Theirs(), ("call",)).labels("mapping+synthesis").observe(5)
    assert told == [("inc", 3, {}), ("observe", 5, {"call": "mapping+synthesis"})]
    text = metrics.text().decode()
    assert "stylert_images_total 3.0" in text
    assert 'stylert_batch_size_sum{call="mapping+synthesis"} 5.0' in text


def test_the_errors_of_options_are_ours() -> None:
    with pytest.raises(InvalidInput):
        RayOptions.parse({"bundle": 3})
