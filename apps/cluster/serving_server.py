"""Serving on Ray until an interrupt, with errors of one line: `stylert ray`."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import Any

from stylert.apps.cluster.connection import (
    PROXY_PATIENCE,
    connected,
    import_serve,
    one_line,
)
from stylert.apps.cluster.serving import NAME, application
from stylert.apps.cluster.serving_options import RayOptions
from stylert.apps.serving.server import bind
from stylert.runtime.errors import EngineError

__all__ = ["deploy", "serve_on_ray"]

APPLICATION = "stylert"
_OURS = re.compile(r"^stylert\.runtime\.errors\.\w+: (.+)$", re.MULTILINE)


def serve_on_ray(
    options: RayOptions,
    *,
    address: str = "auto",
    host: str = "127.0.0.1",
    port: int = 8000,
    ready: Callable[[str], object] = lambda address: None,
    wait: Callable[[], object] = lambda: time.sleep(1e9),
) -> None:
    """Serve a bundle on a cluster that serves nothing else, until an interrupt.

    Args:
        options: of the deployment.
        address: of the cluster: 'auto', 'HOST:PORT', or 'local' to start one on this machine.
        host: the address at which the machines listen.
        port: 0 = any that is free on this machine.
        ready: told the address, such as 'http://127.0.0.1:8000', once clients can connect.
        wait: returns when the service is to end.

    Raises:
        InvalidInput: the port is none.
        OSError: the port is in use.
        BundleError: there is no bundle, or a machine has none, or another one.
        MissingExtra: Ray is not installed.
        EngineError: no cluster, no room in it, or a proxy or backend that does not run.
    """
    with connected(address):
        serve = import_serve()
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        target = application(options)
        if serve.status().proxies:
            raise EngineError(
                "Ray Serve runs on this cluster already. Add to it: stylert ray BUNDLE "
                "--out serve.yaml, then: serve deploy serve.yaml"
            )
        with bind(host, port) as listening:  # free, as far as this machine can tell
            port = listening.getsockname()[1]
        try:
            _start_proxy(serve, host, port)
            deploy(target)
            shown = f"[{host}]" if ":" in host else host
            ready(f"http://{shown}:{port}")
            wait()
        finally:
            serve.shutdown()


def _start_proxy(serve: Any, host: str, port: int) -> None:
    """Have Ray Serve listen. It kills a proxy that needs too long, and fails for that alone."""
    from ray.exceptions import RayError

    try:
        serve.start(http_options={"host": host, "port": port})
    except (RayError, TimeoutError) as error:
        raise EngineError(
            f"Ray Serve's proxy did not start: {one_line(error)} Try again; for a busy cluster, "
            f"start its head with {'='.join(PROXY_PATIENCE)} in the environment."
        ) from error


def deploy(target: Any, *, name: str = APPLICATION, route_prefix: str = "/") -> None:
    """Deploy an application, and wait until it runs.

    Args:
        target: of `application`.
        name: of the application.
        route_prefix: what its paths begin with.

    Raises:
        EngineError: why its replicas cannot start.
    """
    serve = import_serve()
    try:
        serve.run(target, name=name, route_prefix=route_prefix)
    except RuntimeError as error:
        status = serve.status().applications.get(name)
        deployment = status and status.deployments.get(NAME)
        message = deployment.message if deployment else str(error)
        found = _OURS.findall(message)  # the last line of a trace
        raise EngineError(found[-1] if found else one_line(error)) from None
