"""Small models for the tests of decoding, and the slow computations that they are compared with."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from recurra.layers.recurrent import Recurrent
from recurra.models.language_model import LanguageModel
from recurra.text import BPE, Byte, Tokenizer
from recurra.text.bpe import BYTE_OF

SYMBOL_OF = {byte: symbol for symbol, byte in BYTE_OF.items()}


def random_model(vocabulary: int, seed: int, scale: float = 2.0, cell: str = "gru") -> LanguageModel:
    """A model in float64 whose distributions differ clearly from one context to the next."""
    torch.manual_seed(seed)
    stack = Recurrent(cell, 4, 7, 2, dtype=torch.float64)
    model = LanguageModel(vocabulary, stack, embedding_dim=4)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0.0, scale / 2)
    return model


def allow(model: LanguageModel, bias: dict[int, float]) -> None:
    """Leave only some tokens possible, each with a bias of its own."""
    with torch.no_grad():
        model.output.weight[[token for token in range(model.vocabulary) if token not in bias]] = 0.0
        model.output.bias.fill_(-1e9)
        for token, value in bias.items():
            model.output.bias[token] = value


def pairs_tokenizer(merges: Sequence[tuple[bytes, bytes]], sentences: bool = False) -> BPE:
    """Byte pairs with the given merges; 256 + n is the token of the n-th."""
    single = sorted(BYTE_OF, key=BYTE_OF.__getitem__)
    spelled = [tuple("".join(SYMBOL_OF[byte] for byte in part) for part in pair) for pair in merges]
    return BPE([*single, *map("".join, spelled)], spelled, sentences)


class Script(nn.Module):
    """Stands in for a model: the n-th token it is asked for is the n-th of its script, whatever it has read."""

    def __init__(self, vocabulary: int, script: Iterable[int]) -> None:
        super().__init__()
        self.output = nn.Linear(1, vocabulary)
        self.script = list(script)

    def next_log_probs(self, tokens: Tensor, state: list[dict[str, Tensor]] | None, lengths: None = None):
        place = torch.full((tokens.shape[1], 1), -1.0) if state is None else state[0]["place"]
        place = place + 1
        log_probs = torch.full((len(place), self.output.out_features), -torch.inf)
        for row, step in enumerate(place[:, 0].int().tolist()):
            log_probs[row, self.script[step]] = 0.0
        return log_probs, [{"place": place}]


def enumerate_words(
    model: LanguageModel, tokenizer: Tokenizer, context: Sequence[int], given: bytes, tokens: Sequence[int], depth: int
) -> dict[str, float]:
    """The probability of each word after `context` and then the text `given`, which may end in its beginning.

    Every sequence of `tokens` up to `depth` of them is run from scratch, all of one length as a batch, until its
    text decides the word. Exact for words that end within `depth` bytes.
    """
    run = re.search(r"[^\W_]*\Z", given.decode())
    assert run is not None
    begin = len(given) - len(run[0].encode())
    masses: dict[str, float] = {}
    total = 0.0  # of the text beginning with `given`
    undecided = {(): 1.0}
    for _ in range(depth):
        with torch.no_grad():
            log_probs, _ = model.next_log_probs(torch.tensor([[*context, *one] for one in undecided]).T, None)
        following = {}
        for (sequence, before), row in zip(undecided.items(), log_probs.exp().tolist(), strict=True):
            old = text_of(tokenizer, sequence)
            for token in tokens:
                mass, new = before * row[token], text_of(tokenizer, (*sequence, token))
                if len(new) < len(given) and given.startswith(new):
                    following[*sequence, token] = mass
                if not new.startswith(given):
                    continue
                total += mass if len(old) < len(given) else 0.0
                word = word_at(new[begin:])
                if word == "":
                    following[*sequence, token] = mass
                elif word is not None:
                    masses[word] = masses.get(word, 0.0) + mass
        undecided = following
    return {word: mass / (total if given else 1.0) for word, mass in masses.items()}


def text_of(tokenizer: Tokenizer, tokens: Iterable[int]) -> bytes:
    """The text of some tokens; of the stop token a line end, which is in none of the vocabularies that have one."""
    parts = []
    for token in tokens:
        if token == tokenizer.stop_id:
            parts.append(b"\n")
        elif isinstance(tokenizer, Byte | BPE):
            parts.append(tokenizer.token_bytes(token))
        else:
            parts.append(tokenizer.token(token).encode())
    return b"".join(parts)


def word_at(text: bytes) -> str | None:
    """The word that a text begins with, if what ends it is there; "" while it may go on; None if there is none."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    word = ""
    for byte in text:
        try:
            character = decoder.decode(bytes([byte]))
        except UnicodeDecodeError:
            return None
        if re.fullmatch(r"[\W_]", character):
            return word or None
        word += character
    return ""
