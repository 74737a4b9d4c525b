"""The demo's bundle, which comes with StyleRT: a first picture without a checkpoint or PyTorch.

It is `examples/demo.safetensors`, exported by `make bundle` with its weights stored as integers. It
draws flowers, fishes, butterflies, mushrooms, houses and cats of 64 x 64 pixels.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from stylert.runtime.bundle import MANIFEST, Bundle, check_target
from stylert.runtime.files.publishing import publish_folder

__all__ = ["write_demo"]

SOURCE = Path(__file__).parent / "bundle"


def write_demo(out: str | Path, *, force: bool = False) -> None:
    """Write the demo's bundle: all of it, or nothing.

    Args:
        out: the bundle's directory; a link is followed.
        force: replace a bundle that is already there.

    Raises:
        InvalidInput: `out` exists, and is no bundle or `force` is not given.
        BundleError: StyleRT was not installed whole.
        OSError: the disk is full, or the folder cannot be written.
    """
    check_target(Path(out), force=force)
    files = Bundle.open(SOURCE).manifest["files"]
    with publish_folder(out) as folder:
        for name in (MANIFEST, *files):
            shutil.copyfile(SOURCE / name, folder / name)
