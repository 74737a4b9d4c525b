"""The demo's bundle, which comes with StyleRT: a first picture without a checkpoint or PyTorch.

It is `examples/demo.safetensors`, exported by `make bundle` with its weights stored as integers. It
draws flowers, fishes, butterflies, mushrooms, houses and cats of 64 x 64 pixels. Beside it is a
pair of networks for pictures and words that knows these, and nothing else: `examples/train_words`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from stylert.runtime.bundle import MANIFEST, Bundle, check_target
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.publishing import publish_folder

__all__ = ["WORDS", "find_words", "write_demo"]

SOURCE = Path(__file__).parent / "bundle"
WORDS = Path(__file__).parent / "words"
_DRAWING = "synthesis.onnx"  # by which a copy of the demo is known, whatever was added to it


def write_demo(out: str | Path, *, words: str | Path | None = None, force: bool = False) -> None:
    """Write the demo's bundle: all of it, or nothing.

    Args:
        out: the bundle's directory; a link is followed.
        words: a folder for its pair of networks for pictures and words, None = without.
        force: replace a bundle, and a pair of the demo, that is already there.

    Raises:
        InvalidInput: a folder exists, and is no such one or `force` is not given.
        BundleError: StyleRT was not installed whole.
        OSError: the disk is full, or the folder cannot be written.
    """
    check_target(Path(out), force=force)
    if words is not None:
        _check_words(Path(words), force=force)
    files = Bundle.open(SOURCE).manifest["files"]
    _copy(SOURCE, (MANIFEST, *files), out)
    if words is not None:
        _copy(WORDS, _name_words(), words)


def find_words(bundle: Bundle) -> Path | None:
    """The folder of the pair that knows what a bundle draws: of the demo's, None of any other."""
    drawing, of_demo = (
        one.manifest["files"].get(_DRAWING) for one in (bundle, Bundle.open(SOURCE))
    )
    return WORDS if drawing == of_demo else None


def _name_words() -> list[str]:
    return sorted(path.name for path in WORDS.iterdir())


def _check_words(folder: Path, *, force: bool) -> None:
    """Refuse a folder that is there, unless it holds nothing but a pair of the demo."""
    if not folder.exists():
        return
    if not force:
        raise InvalidInput(f"{folder} exists. Pass force=True to replace it.")
    if not folder.is_dir() or {path.name for path in folder.iterdir()} - {*_name_words()}:
        raise InvalidInput(f"{folder} is no pair of the demo, and is not replaced.")


def _copy(source: Path, names: Iterable[str], out: str | Path) -> None:
    with publish_folder(out) as folder:
        for name in names:
            shutil.copyfile(source / name, folder / name)
