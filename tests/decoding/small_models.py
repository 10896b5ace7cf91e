"""Small models for the tests of decoding, and the slow computations that they are compared with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import product

import torch
from torch import Tensor, nn

from recurra.layers.recurrent import Recurrent
from recurra.models.language_model import LanguageModel
from recurra.text import BPE, Tokenizer
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
    """The probability of each word after `context` and then the text `given`, which may begin the word.

    Runs every sequence of `tokens` up to `depth` of them from scratch, so it is exact for words of fewer bytes.
    """
    begun = re.search(r"[^\W_]*\Z", given.decode())
    assert begun is not None
    masses: dict[str, float] = {}
    total = 0.0
    open_sequences: list[tuple[int, ...]] = [()]
    probability = {(): 1.0}
    for _ in range(depth):
        rows = [[*context, *sequence] for sequence in open_sequences]
        with torch.no_grad():
            log_probs, _ = model.next_log_probs(torch.tensor(rows).T, None)
        following: list[tuple[int, ...]] = []
        for sequence, row in zip(open_sequences, log_probs.exp().tolist(), strict=True):
            for token in tokens:
                mass = probability[sequence] * row[token]
                text = spell_all(tokenizer, sequence)
                new = spell_all(tokenizer, (*sequence, token))
                if token == tokenizer.stop_id:
                    new = text + b"\n"
                if not (new.startswith(given) or given.startswith(new)):
                    continue
                if len(text) < len(given) <= len(new) or (not given and not sequence):
                    total += mass
                word = first_word(new[begun.start() :]) if len(new) > len(given) else ""
                if word is None:
                    continue  # not UTF-8
                if word:
                    masses[word] = masses.get(word, 0.0) + mass
                elif token != tokenizer.stop_id and may_go_on(new, given, begun.start()):
                    following.append((*sequence, token))
                    probability[(*sequence, token)] = mass
        open_sequences = following
    scale = 1.0 / total if given else 1.0
    return {word: mass * scale for word, mass in masses.items()}


def spell_all(tokenizer: Tokenizer, tokens: Iterable[int]) -> bytes:
    if hasattr(tokenizer, "token_bytes"):
        return b"".join(tokenizer.token_bytes(token) for token in tokens)
    return "".join(tokenizer.token(token) for token in tokens if token != tokenizer.stop_id).encode()


def first_word(text: bytes) -> str | None:
    """The word that begins a text if something ends it, "" if nothing does, None if it is not UTF-8 before that."""
    for end in range(len(text) + 1):
        try:
            known = text[:end].decode()
        except UnicodeDecodeError:
            continue
        match = re.match(r"([^\W_]+)[\W_]", known)
        if match:
            return match[1]
    valid = text.decode(errors="ignore")
    rest = text[len(valid.encode()) :]
    if not text.startswith(valid.encode()) or not any(is_utf8(rest + bytes(more)) for more in completions(rest)):
        return None
    return ""


def may_go_on(new: bytes, given: bytes, begin: int) -> bool:
    """Whether a word may still come: nothing but word characters since `begin`."""
    return len(new) <= len(given) or re.fullmatch(r"[^\W_]*", new[begin:].decode(errors="ignore")) is not None


def is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def completions(rest: bytes) -> Iterable[tuple[int, ...]]:
    """Every way to go on with up to two bytes, as far as the tests' characters need."""
    return [(), *product((0x80, 0x94, 0xA9)), *product((0x80, 0x94, 0xA9), repeat=2)] if rest else [()]
