"""What a client needs to know of the generator and of the service: the answer of GET /info."""

from __future__ import annotations

from typing import Any

from stylert.apps.serving.components import list_components
from stylert.apps.serving.encoding import list_formats
from stylert.apps.serving.requests import writable_videos
from stylert.apps.serving.settings import Settings
from stylert.runtime import Generator
from stylert.runtime.proof.bundle_facts import noise_strength
from stylert.runtime.transforms import TRANSFORM

__all__ = ["tell_facts"]

_LIMITS = (
    *("max_images", "max_queue", "max_side", "max_frames", "max_body"),
    *("draw_seconds", "video_seconds"),
)


def tell_facts(generator: Generator, settings: Settings) -> dict[str, Any]:
    """The facts as plain JSON types.

    Raises:
        EngineError: the generator is closed.
        BundleError: the bundle's directions or its manifest are damaged.
    """
    bundle = generator.bundle
    inputs = {t.name for t in bundle.graphs["synthesis"].inputs}
    return {
        "bundle": bundle.path.resolve().name,
        "family": bundle.family,
        **bundle.spec.to_json(),
        "layers": {name: list(layers) for name, layers in generator.layer_groups.items()},
        "directions": list(generator.directions),
        "classes": list(generator.classes.names),
        "components": list_components(generator.spec),
        "has_noise": bool(bundle.noise_inputs),
        "noise_strength": noise_strength(bundle),
        "has_transform": TRANSFORM in inputs,
        "backend": generator.choice,
        "formats": list_formats(bundle.spec.img_channels),
        "videos": writable_videos(bundle.spec.img_channels),
        "limits": {name: getattr(settings, name) for name in _LIMITS},
    }
