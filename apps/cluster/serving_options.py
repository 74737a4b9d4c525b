"""What a deployment on Ray Serve is made of, as `serve run` and serve.yaml give it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stylert.apps.serving.settings import Settings
from stylert.runtime.errors import InvalidInput

__all__ = ["RayOptions"]

_DEFAULTS = Settings()
_LOCAL = ("localhost", "127.0.0.1", "[::1]")
# Where a replica dies, Serve notices at the next check, and then starts another one.
CHECK_SECONDS = 2.0
CHECK_TIMEOUT = 30.0  # a slow machine that draws at the same time is not ill
BESIDES = 16  # requests for facts, and those that are refused, beside those that are drawn


class RayOptions(BaseModel):
    """The options of a deployment; see `Settings` and `Generator.open` for those that are theirs.

    A replica is one process with one session. Replicas that share a GPU take a part of it each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bundle: str  # its path, the same on all machines
    sha256: str | None = None  # of the bundle's manifest; None = of the bundle where it is deployed
    min_replicas: int = Field(1, ge=0)
    max_replicas: int = Field(1, ge=1)
    cpus: float = Field(1, ge=0)  # of a replica; on the CPU, also its threads
    gpus: float = Field(0, ge=0)  # of a replica, a part of one, too
    backend: str = "auto"
    provider: str = "auto"  # without a GPU of its own, a replica uses the CPU
    device: str | None = None  # of OpenVINO
    precision: str = "auto"
    trust_engines: bool = False  # run engines that the user of a replica did not build, too
    batch: int = Field(8, ge=1)  # images drawn at a time
    batch_wait: float = _DEFAULTS.batch_wait
    max_queue: int = Field(_DEFAULTS.max_queue, ge=1)  # of a replica
    max_images: int = Field(_DEFAULTS.max_images, ge=1)
    seconds: float = _DEFAULTS.draw_seconds  # that a request may take
    token: str | None = None  # None = STYLERT_TOKEN in the environment, or else none
    # Names in the header Host; '*' = all. None = all with a token, else those of this machine.
    hosts: tuple[str, ...] | None = None

    @classmethod
    def parse(cls, arguments: Mapping[str, Any]) -> RayOptions:
        """Read options, which may be texts, as they come from a command line.

        Raises:
            InvalidInput: an unknown option, or a value that does not fit.
        """
        try:
            options = cls.model_validate(dict(arguments))
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"])) or "options"
            if first["type"] == "missing":
                raise InvalidInput(f"{name}: got none. Pass {name}=...") from None
            if first["type"] == "extra_forbidden":
                known = ", ".join(cls.model_fields)
                raise InvalidInput(f"{name}: no such option; expected one of {known}.") from None
            raise InvalidInput(f"{name}: {first['msg']}.") from None
        if options.min_replicas > options.max_replicas:
            raise InvalidInput(
                f"min_replicas: got {options.min_replicas}, expected up to max_replicas, "
                f"{options.max_replicas}."
            )
        options.settings()  # checks the rest
        return options

    def settings(self) -> Settings:
        """The limits of the service.

        Raises:
            InvalidInput: see `Settings`.
        """
        hosts: tuple[str, ...] | None = None if self.token else _LOCAL
        if self.hosts is not None:
            hosts = None if "*" in self.hosts else self.hosts
        return Settings(
            max_jobs=0,  # the next request may come to another replica
            max_batch=self.batch,
            batch_wait=self.batch_wait,
            max_queue=self.max_queue,
            max_images=min(self.max_images, self.max_queue),
            draw_seconds=self.seconds,
            token=self.token,
            hosts=hosts,
        )

    def deployment(self) -> dict[str, Any]:
        """The options of Serve's deployment.

        A replica refuses what it has no room for, with 429 as `stylert serve` does, before Serve
        would keep requests waiting.
        """
        return {
            "autoscaling_config": {
                "min_replicas": self.min_replicas,
                "max_replicas": self.max_replicas,
                "target_ongoing_requests": 2 * self.batch,  # a batch drawn, another one waiting
                "upscale_delay_s": 10.0,
            },
            "max_ongoing_requests": self.max_queue + BESIDES,
            "health_check_period_s": CHECK_SECONDS,
            "health_check_timeout_s": CHECK_TIMEOUT,
            "graceful_shutdown_timeout_s": _DEFAULTS.stop_seconds,
            "ray_actor_options": {"num_cpus": self.cpus, "num_gpus": self.gpus},
        }
