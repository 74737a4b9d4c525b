"""`make_feature_network`: an ONNX file of the weights that others publish and a user has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from stylert.export.checkpoints.safe_pickle.reading import reading
from stylert.export.feature_networks import (
    clip_image,
    efficientnet_lite0,
    inception,
    vgg16_lpips,
)
from stylert.export.feature_networks.weights import (
    PublishedWeights,
    Weights,
    check_hash,
    read_weights,
)
from stylert.export.onnx_graph import GraphBuilder
from stylert.runtime.arguments import check_choice
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.publishing import publish_file

__all__ = ["KINDS", "PUBLISHED", "make_feature_network"]


@dataclass(frozen=True)
class _Kind:
    """A feature network that can be made."""

    name: str  # what figures are told with
    emit: Callable[..., ir.Value]  # of the graph, the pixels, and the weights of each file
    size: int
    resize: str
    dim: int


_MADE = {
    "clip-image": _Kind(
        "CLIP ViT-B/32",
        clip_image.emit_clip_image,
        clip_image.VIT_B_32.size,
        "bicubic-bytes",
        clip_image.VIT_B_32.dim,
    ),
    "efficientnet-lite0": _Kind(
        "EfficientNet-lite0",
        efficientnet_lite0.emit_efficientnet_lite0,
        efficientnet_lite0.SIZE,
        "bicubic",
        1280,
    ),
    "efficientnet-lite0-maps": _Kind(
        "EfficientNet-lite0 maps",
        efficientnet_lite0.emit_efficientnet_lite0_maps,
        efficientnet_lite0.SIZE,
        "bicubic",
        efficientnet_lite0.count_maps(),
    ),
    "inception": _Kind(
        "Inception-2015 (FID)", inception.emit_inception, inception.SIZE, "bilinear", 2048
    ),
    "inception-clean": _Kind(
        "Inception-2015 (clean-fid)", inception.emit_inception, inception.SIZE, "bicubic", 2048
    ),
    "vgg16-lpips": _Kind(
        "LPIPS-VGG16",
        vgg16_lpips.emit_vgg16_lpips,
        vgg16_lpips.SIZE,
        "bilinear",
        vgg16_lpips.count_features(),
    ),
}
KINDS = tuple(_MADE)

_INCEPTION = PublishedWeights(
    (
        "weights-inception-2015-12-05-6726825d.pth",
        "pt_inception-2015-12-05-6726825d.pth",
    ),
    "6726825d",
    "Apache-2.0",
)
_LITE0 = PublishedWeights(("efficientnet-lite0-57934424.pth",), "57934424", "Apache-2.0")
# The published files of each kind. A test replaces it by what it makes itself.
PUBLISHED: dict[str, tuple[PublishedWeights, ...]] = {
    "clip-image": (
        PublishedWeights(
            (
                "ViT-B-32.pt",
                "clip-vit-b-32-40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af.pt",
                "pytorch_model.bin",
            ),
            "40d36571",
            "MIT (OpenAI)",
            others=("a6308213",),  # of transformers, clip-vit-base-patch32
            scripted=True,
        ),
    ),
    "efficientnet-lite0": (_LITE0,),
    "efficientnet-lite0-maps": (_LITE0,),
    "inception": (_INCEPTION,),
    "inception-clean": (_INCEPTION,),
    "vgg16-lpips": (
        PublishedWeights(("vgg16-397923af.pth",), "397923af", "BSD-3-Clause (torchvision)"),
        PublishedWeights(("vgg.pth",), "a78928a0", "BSD-2-Clause (LPIPS)"),
    ),
}


def make_feature_network(
    kind: str, weights: str | Path | Sequence[str | Path], out: str | Path
) -> Path:
    """Write the ONNX file of a feature network.

    Args:
        kind: one of `KINDS`.
        weights: the file of torch.save that others publish, or the files of `PUBLISHED`, in order.
        out: the file to write; it appears whole or not at all.

    Returns:
        `out`.

    Raises:
        InvalidInput: another kind, no such file, or another number of them.
        CheckpointError: a file is not the published one, damaged or unsafe, or cannot be read.
        OSError: `out` cannot be written.
    """
    check_choice("kind", kind, KINDS)
    given = [weights] if isinstance(weights, (str, Path)) else list(weights)
    paths, published = [Path(path) for path in given], PUBLISHED[kind]
    if len(paths) != len(published):
        names = " and ".join(one.files[0] for one in published)
        raise InvalidInput(f"weights: got {len(paths)} files, expected {names}.")
    made, g = _MADE[kind], GraphBuilder(kind)
    x = g.input("pixels", ["N", 3, made.size, made.size])
    found = [_read(path, one) for path, one in zip(paths, published, strict=True)]
    with reading(paths[0]):
        features = made.emit(g, x, *(weights for weights, _ in found))
    g.output(features, "features", "float32", ["N", made.dim])
    metadata = {
        "stylert.name": made.name,
        "stylert.range": "0,255",
        "stylert.resize": made.resize,
        "stylert.licence": ", ".join(one.licence for one in published),
        "stylert.weights": "+".join(digest for _, digest in found),
    }
    with publish_file(out) as partial:
        g.save(partial, metadata=metadata)
    return Path(out)


def _read(path: Path, published: PublishedWeights) -> tuple[Weights, str]:
    """The weights of a file, and its SHA-256."""
    if not path.is_file():
        raise InvalidInput(f"weights: got {str(path)!r}, expected the file {published.files[0]}.")
    with reading(path):
        digest = check_hash(path, published)
        return read_weights(path, scripted=published.scripted), digest
