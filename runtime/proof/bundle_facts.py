"""What a manifest tells people alone, and which is checked when they ask for it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stylert.runtime.bundle import INT8, MANIFEST, Bundle
from stylert.runtime.errors import BundleError, InvalidInput
from stylert.runtime.proof.parity import (
    STORED_WEIGHTS,
    TOLERANCES,
    WEIGHT_FLOORS,
    RoundingError,
)

__all__ = [
    "WEIGHTS",
    "difference_at_export",
    "int8_error",
    "multiply_adds",
    "list_proven",
    "noise_strength",
    "reading_manifest",
    "reference_error",
    "stored_weights",
    "tell_half",
    "tell_int8",
    "tell_weights",
    "weights_floor",
]

WEIGHTS = ("fp32", *WEIGHT_FLOORS)  # what a bundle may store its large weights as


@contextmanager
def reading_manifest(path: str | Path) -> Iterator[None]:
    """Make a `BundleError` of what is missing or of another type in a manifest."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(
            f"Bundle {path}: {MANIFEST} is damaged ({type(error).__name__}: {error}). "
            "Export the checkpoint again."
        ) from None


def list_proven(bundle: Bundle, precision: str = "auto") -> tuple[str, ...]:
    """The precisions of a bundle that a proof is of: 'auto' = all, or the one that is named.

    INT8 is not: what it costs is measured, see `stylert quantize`.

    Raises:
        InvalidInput: there is no proof of that precision.
    """
    if precision not in ("auto", *TOLERANCES):
        raise InvalidInput(
            f"precision: got {precision!r:.40}, expected one of {tuple(TOLERANCES)}, or 'auto': "
            "all that the bundle has."
        )
    there = tuple(name for name in bundle.precisions if name in TOLERANCES)
    return there if precision == "auto" else (precision,)


def difference_at_export(bundle: Bundle) -> float | None:
    """The largest difference from PyTorch, of float32 images on a [-1, 1] scale.

    None where the bundle was published without a comparison.

    Raises:
        BundleError: the manifest is damaged.
    """
    parity = bundle.manifest.get("parity")
    if not parity:
        return None

    def is_exact_image(row: Mapping[str, Any]) -> bool:
        return (row["output"], row["precision"]) == ("img", "fp32")

    with reading_manifest(bundle.path):
        rows = [row for row in parity["rows"] if is_exact_image(row)]
        return max(float(row["difference"]["max_abs"]) for row in rows)


def reference_error(bundle: Bundle) -> RoundingError | None:
    """How far PyTorch's float32 pictures are from float64, where the export has drawn that.

    With it, the second gate of `stylert.runtime.proof.parity` needs no PyTorch.

    Raises:
        BundleError: the manifest is damaged.
    """
    parity = bundle.manifest.get("parity")
    with reading_manifest(bundle.path):
        error = parity["reference_error"].get("img") if parity else None
        return None if error is None else RoundingError.from_json(error)


def int8_error(bundle: Bundle) -> float:
    """How far INT8 pictures may be off: 3 dB more than the worst at the export; 0 = there are none.

    As the root of a mean square, of images from -1 to 1.

    Raises:
        BundleError: the manifest is damaged.
    """
    if INT8 not in bundle.graphs:
        return 0.0
    with reading_manifest(bundle.path):
        worst = bundle.manifest["int8"]["quality"]["worst_db"]
        return 2.0 * 10 ** ((3 - float(worst)) / 20)


def tell_half(half: Mapping[str, Any]) -> str | None:
    """Which blocks the proof moved out of half precision, as a sentence; None = it moved none.

    Args:
        half: of the manifest.
    """
    moved = half.get("moved")
    if not moved:
        return None
    costs = ", ".join(
        f"{block} (alone {'not finite' if db is None else f'{db:.1f} dB'})"
        for block, db in moved.items()
    )
    what = "Half precision" if half["half_blocks"] else "There is no half-precision graph"
    return f"{what}: pictures were too far off, so these compute in float32: {costs}."


def tell_int8(int8: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the INT8 graph costs in pictures: what each fact is, and its value.

    Args:
        int8: of the manifest.
    """

    def tell(quality: Mapping[str, Any]) -> str:
        db, worst = (
            "the same" if quality[name] is None else f"{quality[name]:.1f} dB"
            for name in ("psnr_db", "worst_db")
        )
        off = f"{quality['share_off']:.1%} of the bytes off by more than 4"
        return f"{db} (PSNR), worst picture {worst}, {off}, {quality['pictures']} pictures"

    kept, count = int8["float32"], int8["convolutions"]
    yield "pictures in INT8", f"{tell(int8['quality'])}; floor {int8['floor_db']:g} dB"
    yield (
        "kept in float32",
        f"{len(kept)} of {count} convolutions{': ' * bool(kept)}{', '.join(kept)}",
    )
    if kept:
        yield "with none of them in float32", tell(int8["all_int8"])
    yield "ranges", "of each image" if int8["by_image"] else "alike for all images"


def stored_weights(bundle: Bundle) -> str:
    """What the large weights are stored as: 'fp32', 'int16' or 'int8'.

    Raises:
        BundleError: the manifest is damaged.
    """
    with reading_manifest(bundle.path):
        weights = bundle.manifest.get("weights", WEIGHTS[0])
        if weights not in WEIGHTS:
            raise ValueError(f"weights is {weights!r:.40}")
        return str(weights)


def weights_floor(bundle: Bundle) -> float | None:
    """The PSNR in dB that the pictures of rounded weights had to reach; None = nothing is rounded.

    Raises:
        BundleError: the manifest is damaged.
    """
    weights = stored_weights(bundle)
    with reading_manifest(bundle.path):
        floor = bundle.manifest.get("weights_floor", WEIGHT_FLOORS.get(weights))
        if floor is not None and not math.isfinite(float(floor)):
            raise ValueError(f"weights_floor is {floor!r:.40}")
        return None if floor is None else float(floor)


def tell_weights(manifest: Mapping[str, Any]) -> str:
    """What the weights are stored as, and how much of the pictures that costs.

    Args:
        manifest: of a bundle; its 'weights' and 'parity' are enough.
    """
    weights = str(manifest.get("weights", WEIGHTS[0]))
    rows = (manifest.get("parity") or {}).get("rows", ())
    row = next((row for row in rows if row["precision"] == STORED_WEIGHTS), None)
    if row is None:
        return weights
    db, share, seed = row["difference"]["psnr_db"], row["off_by_more_than_4"], row.get("worst_seed")
    far = "the same pictures as" if db is None else f"pictures are {db:.1f} dB (PSNR) from"
    told = f"{weights}: {far} the checkpoint's"
    if not share:
        return told
    worst = "" if seed is None else f"; the worst is seed {seed}"
    return f"{told}, and {share:.2%} of their bytes are off by more than 4{worst}"


def multiply_adds(bundle: Bundle) -> int:
    """Multiply-adds of one image, mapping and synthesis together.

    Raises:
        BundleError: the manifest is damaged.
    """
    with reading_manifest(bundle.path):
        return sum(int(n) for n in bundle.manifest["statistics"]["multiply_adds"].values())


def noise_strength(bundle: Bundle) -> float | None:
    """How strong the noise is in the layer that has most of it; 0 = noise changes nothing.

    None where the network takes none, or the bundle does not tell.

    Raises:
        BundleError: the manifest is damaged.
    """
    with reading_manifest(bundle.path):
        strength = bundle.manifest["statistics"].get("noise_strength")
        if strength is not None and not math.isfinite(float(strength)):
            raise ValueError(f"noise_strength is {strength!r:.40}")
        return None if strength is None else float(strength)
