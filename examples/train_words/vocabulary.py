"""The tokenizer: pieces of words, learnt from captions, so that every text has a spelling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from stylert.examples.train_words.towers import CONTEXT

__all__ = ["make_ids", "make_tokenizer"]

PIECES = 448  # 256 bytes, and the commonest joins of them
START, END = "<|startoftext|>", "<|endoftext|>"


def make_tokenizer(texts: Sequence[str]) -> Tokenizer:
    """A byte-pair encoding of lower-case text; its end token has the highest number."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=PIECES,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([START, END])
    ends = [(token, tokenizer.token_to_id(token)) for token in (START, END)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=ends
    )
    return tokenizer


def make_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> NDArray[np.int64]:
    """Texts as rows of tokens, filled with zeros to the longest."""
    rows = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    rows = [row if len(row) <= CONTEXT else [*row[: CONTEXT - 1], row[-1]] for row in rows]
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for row, filled in zip(rows, ids, strict=True):
        filled[: len(row)] = row
    return ids
