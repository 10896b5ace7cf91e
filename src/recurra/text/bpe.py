"""Byte-level byte pair encoding: frequent byte sequences are tokens, and every byte is one too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from recurra.errors import ConfigError, DataError
from recurra.text.decoders import ByteDecoder
from recurra.text.tokenizer import Tokenizer, pieces, sentence_tokens, strings

DEFAULT_SIZE = 8000
# Bytes of different words that merges are learned from. Learning takes up to 85 times as much memory, here half a
# gigabyte; a longer text gives hardly other merges. A text without spaces, such as Chinese, has as many words as
# clauses: 6 MiB of it count; of English, whose words repeat, over 20 MiB.
SAMPLE = 6 << 20


class BPE(Tokenizer):
    """Byte-level BPE (Sennrich et al. 2016; Radford et al. 2019), learned and applied by library `tokenizers`.

    Nothing is unknown and every text comes back exactly: `decode(encode(text)) == text`. Words are split off
    before merging as in GPT-2, each with the space before it. `vocabulary` has each token as the library spells
    it, one character per byte; `merges` has the pairs in the order learned.

        >>> tokenizer = BPE.learn(["low lower newest " * 9], size=300)
        >>> tokenizer.decode(tokenizer.encode("löwe")) == "löwe"
        True
    """

    unit: ClassVar[str] = "bpe"

    def __init__(self, vocabulary: Sequence[str], merges: Sequence[tuple[str, str]], sentences: bool = False) -> None:
        known = len(vocabulary)
        super().__init__(known + 2 * sentences, sentence_tokens(sentences, known))
        self.vocabulary, self.merges = list(vocabulary), list(merges)
        self._bytes = [bytes(BYTE_OF[symbol] for symbol in token) for token in self.vocabulary]
        needed = {*BYTE_OF, *(part for left, right in merges for part in (left, right, left + right))}
        if missing := needed - set(self.vocabulary):
            raise ConfigError(f"vocabulary: expected every byte and merge, got none of {min(missing)!r}; mend it")
        self._library = _library_tokenizer(vocabulary, merges)

    @classmethod
    def train(cls, chunks: Iterable[str], options: Any, sentences: bool) -> Self:
        size = (options.vocabulary_size or DEFAULT_SIZE) - 2 * sentences
        return cls.learn(chunks, size, options.min_count, sentences)

    @classmethod
    def learn(cls, chunks: Iterable[str], size: int, min_count: int = 1, sentences: bool = False) -> Self:
        """Learn merges up to `size` tokens, of pairs seen `min_count` times and at least twice.

        Of a text of more than `SAMPLE` bytes, pieces spread evenly over its length are used.
        """
        from tokenizers import Tokenizer as Library
        from tokenizers import models, trainers

        library = Library(models.BPE())
        library.pre_tokenizer = _words()
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=max(min_count, 2),
            initial_alphabet=sorted(BYTE_OF),
            show_progress=False,
        )
        sample = spread_sample(pieces(chunks), SAMPLE)
        if not sample:
            raise DataError("expected a text to learn merges from, got an empty one; give a longer text")
        library.train_from_iterator(sample, trainer)
        model = json.loads(library.to_str())["model"]
        numbers = model["vocab"]
        return cls(sorted(numbers, key=numbers.__getitem__), [tuple(pair) for pair in model["merges"]], sentences)

    def encode_pieces(self, texts: Sequence[str]) -> list[np.ndarray]:
        encodings = self._library.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, np.int64) for encoding in encodings]

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of a token; none for start and stop."""
        return b"" if token_id in self._names else self._bytes[token_id]

    def token(self, token_id: int) -> str:
        return self._names.get(token_id) or self.token_bytes(token_id).decode("utf-8", "backslashreplace")

    def stream_decoder(self) -> ByteDecoder:
        return ByteDecoder(self.token_bytes)

    def fields(self) -> dict[str, Any]:
        merges = [" ".join(pair) for pair in self.merges]  # no token holds a space: the library spells it Ġ
        return {"vocabulary": self.vocabulary, "merges": merges, "sentences": self.start_id is not None}

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        merges = [(left, right) for left, right in (pair.split(" ") for pair in strings(fields, "merges"))]
        return cls(strings(fields, "vocabulary"), merges, bool(fields["sentences"]))


def spread_sample(texts: Iterable[str], limit: int) -> list[str]:
    """Texts at even distances, whose different words have at most `limit` bytes, from any number of them.

    Words are counted once per text. Whenever they grow too many, every other text is dropped, and from then on only
    every other one kept.
    """
    sample: list[tuple[str, int]] = []
    stride = 1
    for number, text in enumerate(texts):
        if number % stride == 0:
            sample.append((text, len("".join(set(text.split())).encode())))
            while sum(size for _, size in sample) > limit and len(sample) > 1:
                del sample[1::2]
                stride *= 2
    return [text for text, _ in sample]


def _byte_of_symbol() -> dict[str, int]:
    """The library's character for each byte, as GPT-2: itself if printable, else from 256 on in order."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(hidden)}


BYTE_OF = _byte_of_symbol()


def _words() -> Any:
    from tokenizers import pre_tokenizers

    return pre_tokenizers.ByteLevel(add_prefix_space=False)


def _library_tokenizer(vocabulary: Sequence[str], merges: Sequence[tuple[str, str]]) -> Any:
    from tokenizers import Tokenizer as Library
    from tokenizers import models

    numbers = {token: number for number, token in enumerate(vocabulary)}
    library = Library(models.BPE(vocab=numbers, merges=list(merges)))
    library.pre_tokenizer = _words()
    return library
