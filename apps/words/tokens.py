"""The tokenizer of a pair: from a text to a row of tokens, as long as the text network reads."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stylert.runtime.errors import InvalidInput
from stylert.runtime.packages import import_extra

__all__ = ["CONTEXT", "TOKENIZERS", "Tokens", "open_tokens"]

CONTEXT = 77
START, END = "<|startoftext|>", "<|endoftext|>"
VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"
TOKENIZERS = ("tokenizer.json", VOCABULARY)  # the first that is there is read
_MERGES = 49152 - 256 - 2  # of CLIP's vocabulary that are used
_LARGEST = 2**26  # bytes of a vocabulary
_PIECES = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


@dataclass(frozen=True)
class Tokens:
    """A tokenizer, and the length of its rows.

    Attributes:
        context: tokens of a row, L.
        highest: the highest number of a token.
        count: of its tokens.
        file: its name.
    """

    context: int
    highest: int
    count: int
    file: str
    _tokenizer: Any

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Texts as rows of tokens.

        Returns:
            The tokens [N, L] int64, zeros behind the end; [N, L] int64, 1 where there are tokens;
            and of each text what was cut off, '' of most.
        """
        ids = np.zeros((len(texts), self.context), np.int64)
        mask = np.zeros_like(ids)
        cut = []
        for i, text in enumerate(texts):
            encoding = self._tokenizer.encode(text)
            row, rest = encoding.ids, ""
            if len(row) > self.context:
                rest = text[encoding.offsets[self.context - 1][0] :].strip()
                row = [*row[: self.context - 1], row[-1]]
            ids[i, : len(row)], mask[i, : len(row)] = row, 1
            cut.append(rest)
        return ids, mask, cut


def open_tokens(folder: Path, *, context: int) -> Tokens:
    """The tokenizer of a folder: tokenizer.json, or CLIP's own vocabulary.

    Args:
        folder: of the pair.
        context: tokens of a row.

    Raises:
        InvalidInput: none is there, or it cannot be read.
        MissingExtra: tokenizers is not installed.
    """
    package = import_extra("tokenizers", "tokenizers", extra="words")
    file = next((folder / name for name in TOKENIZERS if (folder / name).is_file()), None)
    if file is None:
        known = " or ".join(TOKENIZERS)
        raise InvalidInput(f"clip: got {folder}, which has no tokenizer, expected {known}.")
    try:
        if file.name == VOCABULARY:
            tokenizer = _read_vocabulary(package, file)
        else:
            tokenizer = package.Tokenizer.from_file(str(file))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        vocabulary = tokenizer.get_vocab(with_added_tokens=True)
        tokenizer.encode("a")
    except Exception as error:  # tokenizers has only Exception; zlib and gzip have their own
        reason = " ".join(str(error).split())[:150]
        raise InvalidInput(f"clip: cannot read {file} as a tokenizer ({reason}).") from None
    if not vocabulary:
        raise InvalidInput(f"clip: the tokenizer {file} has no tokens.")
    return Tokens(context, max(vocabulary.values()), len(vocabulary), file.name, tokenizer)


def _read_vocabulary(package: Any, file: Path) -> Any:
    """The tokenizer of CLIP's list of merges: bytes, bytes at a word's end, merges, two ends."""
    data = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(file.read_bytes(), _LARGEST)
    lines = data.decode().split("\n")[1 : _MERGES + 1]
    merges = [(a, b) for a, space, b in (line.partition(" ") for line in lines) if space]
    letters = _list_letters()
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges), START, END]
    vocabulary: Mapping[str, int] = {token: i for i, token in enumerate(tokens)}
    ends = [(token, vocabulary[token]) for token in (START, END)]
    tokenizer = package.Tokenizer(
        package.models.BPE(vocabulary, merges, end_of_word_suffix="</w>", unk_token=END)
    )
    tokenizer.add_special_tokens([START, END])
    normal, before = package.normalizers, package.pre_tokenizers
    spaces = normal.Replace(package.Regex(r"\s+"), " ")
    tokenizer.normalizer = normal.Sequence([normal.NFC(), spaces, normal.Lowercase()])
    pieces = before.Split(package.Regex(_PIECES), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = before.Sequence([pieces, before.ByteLevel(add_prefix_space=False)])
    tokenizer.post_processor = package.processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=ends
    )
    return tokenizer


def _list_letters() -> list[str]:
    """The 256 letters that stand for bytes, those that can be printed first, as in GPT-2."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printed]
    return [*map(chr, printed), *(chr(256 + i) for i in range(len(others)))]
