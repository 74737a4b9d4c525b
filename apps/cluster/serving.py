"""The HTTP service on Ray Serve: the same application, in replicas on the machines of a cluster.

    serve run stylert.apps.cluster.serving:app bundle=/shared/ffhq-bundle max_replicas=4 gpus=0.5

`RayOptions` has all options; `serve_yaml` writes them as a file for `serve deploy`. A replica is
what `stylert serve` is, with its own batcher: Serve's @serve.batch merges whole requests, ours the
images of all requests, splits large ones, and drops those whose clients have gone.
"""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stylert.apps.cluster.connection import import_ray, import_serve, opening_on
from stylert.apps.cluster.serving_metrics import tell_ray
from stylert.apps.cluster.serving_options import RayOptions
from stylert.apps.serving.admission import find_token
from stylert.apps.serving.application import create_app
from stylert.runtime import Generator
from stylert.runtime.arguments import check_integer
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import BundleError, StylertError

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = [
    "NAME",
    "Replica",
    "app",
    "application",
    "draw_something",
    "open_bundle",
    "pinned",
    "serve_yaml",
]

NAME = "StyleRT"  # of the deployment
IMPORT_PATH = "stylert.apps.cluster.serving:app"
# These are Serve's own, and in the file as such: they can be changed without new replicas.
SERVES = ("min_replicas", "max_replicas", "cpus", "gpus")


def app(arguments: Mapping[str, Any]) -> Any:
    """Make the application for `serve run` and serve.yaml, from the options that they give.

    Raises:
        click.ClickException: what is wrong, as one line; `serve` shows it as such.
    """
    import click

    try:
        return application(RayOptions.parse(arguments))
    except StylertError as error:
        raise click.ClickException(str(error)) from None


def application(options: RayOptions) -> Any:
    """Make the application for `ray.serve.run`.

    Raises:
        MissingExtra: Ray is not installed.
        InvalidInput: see `RayOptions.parse`; or STYLERT_TOKEN in the environment is empty.
        BundleError: there is no bundle here, and no `sha256` is given.
    """
    serve = import_serve()
    token = find_token(options.token)
    options = pinned(RayOptions.parse({**options.model_dump(), "token": token}))
    replica = serve.ingress()(Replica)
    deployment = serve.deployment(replica, name=NAME, **options.deployment())
    return deployment.bind(options.model_dump())


def pinned(options: RayOptions) -> RayOptions:
    """The options with the SHA-256 of the bundle, which every replica compares with its own.

    Raises:
        BundleError: there is no bundle here, and no `sha256` is given.
    """
    bundle = os.path.abspath(options.bundle)
    sha256 = options.sha256
    if sha256 is None:
        sha256 = str(Bundle.open(bundle, check_files=False).manifest.get("sha256"))
    return options.model_copy(update={"bundle": bundle, "sha256": sha256})


def serve_yaml(options: RayOptions, *, host: str = "127.0.0.1", port: int = 8000) -> str:
    """The configuration of a cluster that serves one bundle. The token is not in it.

    Args:
        options: of the deployment; its bundle is read here, for the SHA-256.
        host: the address at which every machine listens; '0.0.0.0' is reached by others.
        port: the port at which every machine listens.

    Raises:
        MissingExtra: Ray is not installed.
        InvalidInput: a port out of range.
        BundleError: there is no bundle.
    """
    import_serve()
    import yaml
    from ray.serve.schema import ServeDeploySchema

    check_integer("port", port, 1, 65535)
    given = pinned(options).model_dump(exclude={*SERVES, "token"}, exclude_defaults=True)
    content: dict[str, Any] = {
        "proxy_location": "EveryNode",
        "http_options": {"host": host, "port": port},
        "applications": [
            {
                "name": "stylert",
                "route_prefix": "/",
                "import_path": IMPORT_PATH,
                "args": {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()},
                "deployments": [{"name": NAME, **options.deployment()}],
            }
        ],
    }
    ServeDeploySchema.model_validate(content)  # what Serve would refuse is a mistake of ours
    text: str = yaml.safe_dump(content, sort_keys=False)
    return text


class Replica:
    """One session, and the application that serves it.

    Args:
        options: of `RayOptions`, as plain types.

    Raises:
        BundleError: this machine has no bundle, a damaged one, or another one.
        MissingExtra, EngineError: see `Generator.open`.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        parsed = RayOptions.parse(options)
        self._generator = open_bundle(parsed, **_given())
        self._app = create_app(self._generator, parsed.settings())
        self._tell_gauges = tell_ray(self._app.state.service.metrics)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """What answers the requests."""
        return self._app

    async def check_health(self) -> None:
        """Draw something small. Serve replaces a replica that cannot, or takes too long.

        Raises:
            EngineError: the backend failed.
        """
        self._tell_gauges()
        await asyncio.to_thread(draw_something, self._generator)

    def __del__(self) -> None:
        generator = getattr(self, "_generator", None)
        if generator is not None:
            generator.close()


def open_bundle(options: RayOptions, *, cpus: float, gpus: float) -> Generator:
    """Open the bundle of a deployment on this machine.

    Args:
        options: of the deployment.
        cpus: that Ray has given to this process.
        gpus: that Ray has given to this process.

    Raises:
        BundleError: there is none, it is damaged, or another one than the deployment's.
        MissingExtra, EngineError: see `Generator.open`.
    """
    machine = platform.node()
    if not Path(options.bundle).exists():
        raise BundleError(
            f"The machine {machine} has no bundle at {options.bundle}. Copy it there, or to a file "
            "system that all machines share."
        )
    places = {"backend", "provider", "device", "precision", "trust_engines"}
    where = options.model_dump(include=places)
    opening = opening_on(cpus=cpus, gpus=gpus, **where)
    generator = Generator.open(options.bundle, max_batch=options.batch, **opening)
    sha256 = generator.bundle.manifest.get("sha256")
    if options.sha256 not in (None, sha256):
        generator.close()
        raise BundleError(
            f"The bundle {options.bundle} on the machine {machine} is another than the "
            f"deployment's: SHA-256 {str(sha256)[:12]}..., expected {options.sha256[:12]}.... Copy "
            "one bundle to all machines, and deploy it."
        )
    return generator


def draw_something(generator: Generator) -> None:
    """Run the backend, on little: the mapping of one seed.

    Raises:
        EngineError: the backend failed.
    """
    spec = generator.spec
    z = np.zeros((1, spec.z_dim), np.float32)
    c = generator.classes.make_labels(None, None, batch=1, seeds=[0])
    generator.map(z, c)


def _given() -> dict[str, float]:
    """What Ray has given of the machine to this process."""
    context = import_ray().get_runtime_context()
    resources = context.get_assigned_resources()
    return {"cpus": resources.get("CPU", 0.0), "gpus": resources.get("GPU", 0.0)}
