"""A route of your own that draws: FastAPI, one generator for the life of the application.

`stylert serve BUNDLE` is a whole service, with batches, limits and a page. This is for an
application that has its own routes and wants a picture in one of them.

BUNDLE=path/to/bundle uvicorn --app-dir examples fastapi_route:app
curl 'localhost:8000/avatars/42.png?psi=0.5' --output avatar.png
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, Path, Query, Request, Response

import stylert
from stylert.runtime.images import encode_image


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the bundle when a worker starts, which is after its fork, and close it at the end."""
    async with stylert.open_async(os.environ["BUNDLE"]) as generator:
        app.state.generator = generator
        yield


app = FastAPI(title="Avatars", lifespan=lifespan)


@app.get("/avatars/{seed}.png", response_class=Response)
async def avatar(
    request: Request,
    seed: Annotated[int, Path(ge=0, lt=2**32)],
    psi: Annotated[float, Query(ge=-1, le=1)] = 0.7,
) -> Response:
    """The picture of a seed."""
    (image,) = await request.app.state.generator.generate(seed, truncation_psi=psi)
    encoded = await asyncio.to_thread(encode_image, image, "PNG")
    headers = {"cache-control": "public, max-age=31536000, immutable"}  # a seed never changes
    return Response(encoded, media_type="image/png", headers=headers)
