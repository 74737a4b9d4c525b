"""Options of the official scripts, and what they are called here.

The scripts are those of stylegan2, stylegan2-ada-pytorch and stylegan3: generate.py, gen_images.py,
style_mixing.py, gen_video.py, projector.py. Options of the same name and meaning (--seeds,
--class, --rows, --grid, --translate, --rotate) are not listed. docs/artist.md has the same table.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from itertools import zip_longest
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["OFFICIAL_OPTIONS", "explain_official", "is_checkpoint", "tell_next_step"]

OFFICIAL_OPTIONS = {
    "--trunc": "--truncation-psi",
    "--outdir": "--out",
    "--result-dir": "--out",
    "--output": "--out",
    "--projected-w": "--ws",
    "--noise-mode": "--noise",
    "--cols": "--columns",
    "--row-seeds": "--rows",
    "--col-seeds": "--columns",
    "--styles": "--layers",
    "--col-styles": "--layers",
    "--w-frames": "--seconds",
    "--num-keyframes": "--seeds",
    "--num-steps": "--steps",
    "--save-video": "--film",
}
_NETWORK = "--network"
_TARGET = "--target"
_MORE = {
    "--noise-mode": " (random is seeded)",
    "--w-frames": " (with --fps: 120 frames are --seconds 2 --fps 60)",
    "--num-keyframes": " (a keyframe for each)",
    "--save-video": " (and its file: --film way.mp4)",
}


def explain_official(words: Sequence[str], options: Collection[str]) -> str | None:
    """What all official options among the words of a command line are called here.

    Args:
        words: as they were typed.
        options: that the command has, and its arguments.

    Returns:
        one line, or None where there is none of them that the command could have.
    """
    found = []
    for name, value in _list_options(words):
        if name == _NETWORK and name in options:
            if is_checkpoint(value):
                how = "download it first, and pass the file" if "://" in value else f"pass {value}"
                found.append(f"{name} names a network in the file here: {how} without it")
        elif name == _NETWORK and "bundle" in options:
            is_bundle = value and Path(value).is_dir()
            step = f"pass {value} without it" if is_bundle else tell_next_step(value)
            found.append(f"{name} is the argument BUNDLE here: {step}")
        elif name == _TARGET and "photos" in options:
            found.append(f"{name} is the argument PHOTO here: pass {value or 'it'} without it")
        elif name not in options and (ours := OFFICIAL_OPTIONS.get(name)) in options:
            found.append(f"{name} is {ours} here{_MORE.get(name, '')}")
    return f"{'; '.join(dict.fromkeys(found))}." if found else None


def tell_next_step(checkpoint: str) -> str:
    """What to do with a checkpoint, or the address of one, where a bundle is expected."""
    if "://" in checkpoint:
        name = Path(unquote(urlsplit(checkpoint).path)).name
        return f"download {checkpoint} first, and export it: {_tell_export(name)}"
    return f"export it first: {_tell_export(checkpoint)}"


def _tell_export(file: str) -> str:
    return f"stylert export {shlex.quote(file or 'CHECKPOINT')} --out BUNDLE"


def is_checkpoint(text: str) -> bool:
    """Whether a text names a checkpoint, or the address of one, by its looks."""
    return "://" in text or text.lower().endswith((".pkl", ".pt", ".pth", ".safetensors"))


def _list_options(words: Sequence[str]) -> list[tuple[str, str]]:
    """Options as they were typed, up to '--', with their values: '--a=1', or '--a 1'."""
    options = []
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        if word == "--":
            break
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            value = value if equals else following
            options.append((name, "" if value.startswith("-") else value))
    return options
