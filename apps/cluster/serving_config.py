"""serve.yaml: a deployment as a file, for `serve deploy` and `serve run`."""

from __future__ import annotations

from typing import Any

from stylert.apps.cluster.connection import import_serve
from stylert.apps.cluster.serving import NAME, pinned
from stylert.apps.cluster.serving_options import RayOptions
from stylert.runtime.arguments import check_integer

__all__ = ["serve_yaml"]

IMPORT_PATH = "stylert.apps.cluster.serving:app"
# These are Serve's own, and in the file as such: they can be changed without new replicas.
SERVES = ("min_replicas", "max_replicas", "cpus", "gpus")


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
