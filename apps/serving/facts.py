"""What a client needs to know of the generator and of the service: the answer of GET /info."""

from __future__ import annotations

from typing import Any

from stylert.apps.serving.encoding import list_formats
from stylert.apps.serving.generator_facts import tell_generator
from stylert.apps.serving.photos import tell_photos
from stylert.apps.serving.requests import writable_videos
from stylert.apps.serving.settings import Settings
from stylert.runtime import Generator

__all__ = ["tell_facts"]

_LIMITS = (
    *("max_images", "max_queue", "max_side", "max_frames", "max_body"),
    *("draw_seconds", "video_seconds"),
    *("max_photo_body", "max_pixels", "max_jobs", "job_steps", "job_seconds"),
)


def tell_facts(generator: Generator, settings: Settings) -> dict[str, Any]:
    """The facts as plain JSON types.

    Raises:
        EngineError: the generator is closed.
        BundleError: the bundle's directions or its manifest are damaged.
    """
    channels = generator.spec.img_channels
    return tell_generator(generator) | {
        "formats": list_formats(channels),
        "photos": tell_photos(generator, settings),
        "videos": writable_videos(channels),
        "limits": {name: getattr(settings, name) for name in _LIMITS},
    }
