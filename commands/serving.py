"""`stylert serve` and `ray`: pictures over HTTP, from one machine or a cluster."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stylert.apps.demo import find_words
from stylert.commands import console
from stylert.commands.options import BundleFolder, Force, Where, WhereHere, in_output, in_panel
from stylert.commands.target_files import check_new
from stylert.commands.text.numbers import parse_range
from stylert.runtime.packages import need

if TYPE_CHECKING:
    from stylert.apps.words import Pair
    from stylert.runtime.generator import Generator

__all__ = ["ray", "serve"]

in_service = in_panel("Service")
in_cluster = in_panel("Cluster")

Host = Annotated[str, in_service("Address to listen at; other machines reach 0.0.0.0.")]
Port = Annotated[int, in_service("Port to listen at; 0 = any that is free.", min=0, max=65535)]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What clients may ask for; on a cluster, of each replica."""

    token: Annotated[
        str | None,
        in_service("Token to ask for: 'Authorization: Bearer TOKEN'.", envvar="STYLERT_TOKEN"),
    ] = None
    max_queue: Annotated[
        int, in_service("Images that may wait; further requests are refused with 429.", min=1)
    ] = 256
    max_images: Annotated[int, in_service("Images of one request, at most.", min=1)] = 64
    draw_seconds: Annotated[
        float, in_service("Longest time of a request, in seconds; then 504.", "--seconds", min=0.1)
    ] = 60.0


@dataclass(frozen=True, kw_only=True)
class JobLimits:
    """What clients may ask of photos and words: jobs, one at a time."""

    max_jobs: Annotated[
        int, in_service("Jobs on photos and words that wait or run; 0 = none.", "--jobs", min=0)
    ] = 4
    job_seconds: Annotated[
        float, in_service("Longest time of a job, in seconds.", "--job-seconds", min=1)
    ] = 300.0
    job_threads: Annotated[
        int, in_service("Threads of the jobs, beside those that draw.", "--job-threads", min=1)
    ] = 1


def serve(
    bundle: BundleFolder,
    *,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    limits: Limits,
    jobs: JobLimits,
    clip: Annotated[
        Path | None,
        in_service(
            "Folder of a CLIP-like pair, for texts that find pictures; the demo has its own."
        ),
    ] = None,
    where: WhereHere,
) -> None:
    """Serve pictures over HTTP, and a page to play with. Ctrl-C ends it.

    Example: stylert serve ffhq-bundle --port 8000
    """
    need("fastapi", "uvicorn", "prometheus_client", extra="serve")
    if clip is not None:
        need("tokenizers", "cmaes", extra="words")
        if jobs.max_jobs == 0:
            raise typer.BadParameter("got --clip with --jobs 0, expected --jobs 1 or more")
    from stylert.apps.serving.server import serve as serve_http
    from stylert.apps.serving.settings import Settings

    most = min(limits.max_images, limits.max_queue)
    settings = Settings(**{**vars(limits), **vars(jobs), "max_images": most})
    with where.open(bundle) as generator:
        console.say(generator.choice)
        pair = _open_pair(clip or _find_demo_pair(generator, jobs), jobs.job_threads)
        ready = _tell_address(bundle)
        serve_http(generator, host=host, port=port, settings=settings, pair=pair, ready=ready)


def ray(
    bundle: BundleFolder,
    *,
    address: Annotated[
        str, in_cluster("Cluster: auto (this machine's), HOST:PORT, or local: start one here.")
    ] = "auto",
    replicas: Annotated[
        Any, in_cluster("Replicas: 2, or 1:4 = as many as the load asks for.", read=parse_range)
    ] = "1",
    cpus: Annotated[
        float, in_cluster("CPUs of a replica; without a GPU, also its threads.", min=0)
    ] = 1.0,
    gpus: Annotated[float, in_cluster("GPUs of a replica; 0.5 = two share one.", min=0)] = 0.0,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    limits: Limits,
    where: Where,
    out: Annotated[
        Path | None, in_output("File to write for `serve deploy`, instead of serving.")
    ] = None,
    force: Force = False,
) -> None:
    """Serve pictures on a Ray cluster, as `serve` does on one machine. Ctrl-C ends it.

    Example: stylert ray ffhq-bundle --address local --replicas 1:2

    Example: stylert ray ffhq-bundle --gpus 0.5 --replicas 1:16 --out serve.yaml
    """
    need("ray", extra="ray")
    from stylert.apps.cluster.serving import serve_yaml
    from stylert.apps.cluster.serving_options import RayOptions
    from stylert.apps.cluster.serving_server import serve_on_ray

    given = {"bundle": str(bundle), "cpus": cpus, "gpus": gpus, **vars(limits), **vars(where)}
    given |= {"batch": given.pop("max_batch"), "seconds": given.pop("draw_seconds")}
    given["min_replicas"], given["max_replicas"] = replicas
    options = RayOptions.parse(given)
    if out is None:
        ready = _tell_address(bundle)
        return serve_on_ray(options, address=address, host=host, port=port, ready=ready)
    text = serve_yaml(options, host=host, port=port)
    check_new(out, force=force)
    out.write_text(text, encoding="utf-8")
    return console.say(f"Wrote {out}. Deploy it: serve deploy {shlex.quote(str(out))}")


def _find_demo_pair(generator: Generator, jobs: JobLimits) -> Path | None:
    """The demo's own pair, if this is the demo, and all that a search needs is there."""
    if jobs.max_jobs == 0 or not (find_spec("tokenizers") and find_spec("cmaes")):
        return None
    return find_words(generator.bundle)


def _open_pair(folder: Path | None, threads: int) -> Pair | None:
    from stylert.apps.words import Pair

    return None if folder is None else Pair.open(folder, threads=threads)


def _tell_address(bundle: Path) -> Any:
    return lambda address: console.say(f"Serving {bundle} at {address} (Ctrl-C ends it)")
