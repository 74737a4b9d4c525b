"""The HTTP application: its routes, and what all requests pass on their way to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from stylert.apps.serving.admission import AdmissionMiddleware
from stylert.apps.serving.answers import AnswerMiddleware, HeadMiddleware
from stylert.apps.serving.encoding import MEDIA_TYPES, ZIP, accepted
from stylert.apps.serving.error_answers import ERRORS, add_error_answers
from stylert.apps.serving.facts import tell_facts
from stylert.apps.serving.freed_memory import give_back_freed_memory
from stylert.apps.serving.job_routes import add_jobs, add_search
from stylert.apps.serving.json_bodies import JsonRoute
from stylert.apps.serving.limits import LimitsMiddleware
from stylert.apps.serving.metrics import CONTENT_TYPE, CountingMiddleware, Metrics
from stylert.apps.serving.page_files import page_file
from stylert.apps.serving.photo_routes import PHOTO_ROUTES, add_photos
from stylert.apps.serving.photos import Photos
from stylert.apps.serving.requests import (
    VIDEO_TYPES,
    EditRequest,
    Format,
    GenerateRequest,
    InterpolateRequest,
    Layout,
    MixRequest,
    PictureRequest,
    VideoRequest,
)
from stylert.apps.serving.searches import Searches
from stylert.apps.serving.service import Service
from stylert.apps.serving.settings import Settings
from stylert.apps.serving.unread_bodies import UnreadBodyMiddleware
from stylert.apps.serving.videos import Videos
from stylert.apps.serving.workshop import Workshop
from stylert.apps.words import Pair
from stylert.runtime import Generator
from stylert.runtime.arguments import shown

__all__ = ["create_app"]

OPEN_ROUTES = ("/", "/page/", "/healthz")  # without a token

_ERROR_SCHEMA = {
    "application/json": {
        "schema": {
            "type": "object",
            "properties": {"error": {"type": "string"}},
            "required": ["error"],
        }
    }
}


_ERRORS: dict[int | str, dict[str, Any]] = {
    code: {"description": text, "content": _ERROR_SCHEMA} for code, text in ERRORS.items()
}


def _answers(what: str, kinds: Iterable[str]) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI: what an answer may be."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
    return {
        200: {"description": what, "content": content},
        **_ERRORS,
    }


_ANSWERS = _answers("The images.", (*MEDIA_TYPES.values(), ZIP))
_VIDEOS = _answers("The video.", VIDEO_TYPES.values())


def create_app(
    generator: Generator | str | Path,
    settings: Settings | None = None,
    *,
    pair: Pair | None = None,
) -> FastAPI:
    """Make the application that serves a generator, for uvicorn or another ASGI server.

        app = create_app("bundle", Settings(token="..."))

    One process serves one generator: more workers are more copies of it.

    Args:
        generator: one that is open, and stays open; or a bundle's path, which is opened here and
            closed when the application ends.
        settings: the limits; None = the defaults.
        pair: of networks for pictures and texts, which searches by words need.

    Raises:
        BundleError: the bundle cannot be opened.
        EngineError: no backend runs here.
    """
    settings = settings or Settings()
    ours = not isinstance(generator, Generator)
    opened = generator if isinstance(generator, Generator) else _open(generator, settings)
    metrics = Metrics()
    service = Service(opened, settings, metrics)
    workshop = Workshop(service)
    searches = Searches(workshop, pair)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        trimming = asyncio.create_task(give_back_freed_memory())
        yield
        trimming.cancel()
        await asyncio.to_thread(workshop.close)
        service.close()
        if ours:
            opened.close()

    app = FastAPI(
        title="StyleRT",
        description="Pictures of a StyleGAN generator.",
        version=version("stylert"),
        docs_url=None,  # these two would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # behind a proxy, they would name this address and not the proxy's
        lifespan=lifespan,
    )
    app.router.route_class = JsonRoute
    app.state.service = service
    _add_pictures(app, service)
    add_photos(app, Photos(workshop), _ERRORS)
    add_search(app, searches, _ERRORS)
    add_jobs(app, workshop.jobs, _ERRORS)
    _add_facts(app, service, words=searches.offered)
    _add_page(app)
    add_error_answers(app)
    _add_middleware(app, settings, metrics)
    return app


def _add_pictures(app: FastAPI, service: Service) -> None:
    """The routes that draw."""

    async def answered(request: PictureRequest, http: Request) -> Response:
        format, layout = _wanted(request, http.headers.get("accept"))
        body, media_type = await service.answer(request, format=format, layout=layout)
        return Response(body, media_type=media_type)

    @app.post("/generate", responses=_ANSWERS, response_class=Response)
    async def generate(request: GenerateRequest, http: Request) -> Response:
        """Draw the images of seeds."""
        return await answered(request, http)

    @app.post("/mix", responses=_ANSWERS, response_class=Response)
    async def mix(request: MixRequest, http: Request) -> Response:
        """Draw every row with some layers of every column."""
        return await answered(request, http)

    @app.post("/interpolate", responses=_ANSWERS, response_class=Response)
    async def interpolate(request: InterpolateRequest, http: Request) -> Response:
        """Draw one frame of the way from keyframe to keyframe, or all of them."""
        return await answered(request, http)

    @app.post("/edit", responses=_ANSWERS, response_class=Response)
    async def edit(request: EditRequest, http: Request) -> Response:
        """Draw images moved along directions."""
        return await answered(request, http)

    videos = Videos(service)

    @app.post("/video", responses=_VIDEOS, response_class=Response)
    async def video(request: VideoRequest) -> Response:
        """Draw the way from keyframe to keyframe as a video."""
        body, media_type = await videos.draw(request)
        return Response(body, media_type=media_type)


def _add_facts(app: FastAPI, service: Service, *, words: bool) -> None:
    """The routes that tell about the service."""

    @app.get("/info")
    async def info() -> dict[str, Any]:
        """Tell what the generator is, and what the service takes."""
        return tell_facts(service.generator, service.settings) | {"words": words}

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Answer as long as the service runs."""
        return {"status": "ok"}

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Give the numbers for Prometheus."""
        return Response(service.metrics.text(), headers={"content-type": CONTENT_TYPE})


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return page_file("index.html")

    @app.get("/page/{name}", include_in_schema=False)
    async def file(name: str) -> Response:
        return page_file(name)


def _add_middleware(app: FastAPI, settings: Settings, metrics: Metrics) -> None:
    """The last one is the outermost."""
    app.add_middleware(HeadMiddleware)
    app.add_middleware(
        LimitsMiddleware,
        max_body=settings.max_body,
        read_seconds=settings.read_seconds,
        larger=dict.fromkeys(PHOTO_ROUTES, settings.max_photo_body),
    )
    app.add_middleware(
        AdmissionMiddleware, token=settings.token, hosts=settings.hosts, open_routes=OPEN_ROUTES
    )
    app.add_middleware(AnswerMiddleware)
    routes = frozenset(route.path for route in app.routes if isinstance(route, APIRoute))
    app.add_middleware(CountingMiddleware, metrics=metrics, routes=routes)
    app.add_middleware(UnreadBodyMiddleware, seconds=settings.read_seconds)


def _wanted(request: PictureRequest, accept: str | None) -> tuple[Format, Layout | None]:
    """The format and layout of an answer: as the request says, else as the header Accept asks."""
    asked = accepted(accept)
    formats: dict[str, Format] = {"image/jpeg": "jpeg", "image/webp": "webp"}
    formats["application/x-npy"] = "npy"
    if asked == "" and request.format is None:
        kinds = ", ".join((*MEDIA_TYPES.values(), ZIP))
        raise HTTPException(406, f"Accept: got {shown(accept)}, expected {kinds} or */*.")
    format = request.format or formats.get(asked or "", "png")
    layout = request.layout or ("zip" if asked == ZIP else None)
    return format, layout


def _open(path: str | Path, settings: Settings) -> Generator:
    if settings.max_batch is None:
        return Generator.open(path)
    return Generator.open(path, max_batch=settings.max_batch)
