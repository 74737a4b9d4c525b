"""What a page needs to know of a generator. It loads nothing of a service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stylert.apps.serving.components import list_components
from stylert.runtime import Generator
from stylert.runtime.proof.bundle_facts import noise_strength
from stylert.runtime.transforms import TRANSFORM

__all__ = ["PAGE", "tell_generator"]

PAGE = Path(__file__).parent / "page"  # the folder of the page's files


def tell_generator(generator: Generator) -> dict[str, Any]:
    """The facts of a generator as plain JSON types.

    Raises:
        EngineError: the generator is closed.
        BundleError: the bundle's directions or its manifest are damaged.
    """
    bundle = generator.bundle
    inputs = {t.name for t in bundle.graphs["synthesis"].inputs}
    return {
        "bundle": bundle.path.resolve().name,
        "family": bundle.family,
        **vars(bundle.spec),
        "layers": {name: list(layers) for name, layers in generator.layer_groups.items()},
        "directions": list(generator.directions),
        "classes": list(generator.classes.names),
        "components": list_components(generator.spec),
        "has_noise": bool(bundle.noise_inputs),
        "noise_strength": noise_strength(bundle),
        "has_transform": TRANSFORM in inputs,
        "backend": generator.choice,
    }
