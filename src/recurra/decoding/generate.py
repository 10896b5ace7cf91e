"""Generating text, several samples side by side, given out as it is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from recurra.backends import choose
from recurra.config import GenerationOptions
from recurra.decoding.context import column, encode_context, evaluating
from recurra.decoding.sample import Sampler
from recurra.errors import ConfigError
from recurra.layers.recurrent import States
from recurra.layers.stream import DTYPES
from recurra.models.language_model import LanguageModel, select_rows
from recurra.text import Tokenizer

CHUNK = 16
"""Tokens made between two looks at the texts: so few that text appears as it is made."""


def generate(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    options: GenerationOptions,
    *,
    start: Sequence[int],
    state: Sequence[States] | None = None,
    on_text: Callable[[str], None] | None = None,
) -> list[str]:
    """Texts that go on from a prompt, without the prompt itself.

    A text ends before `options.stop`, at the tokenizer's stop token, or after `options.length` tokens. The unknown
    and the start token are never generated.

    Args:
        prompt: text to go on from, perhaps empty.
        options: length in tokens, number n of texts, how to choose, seed, stop string.
        start: tokens read before the prompt.
        state: the state before them, of one row; zeros where None.
        on_text: called with each newly completed piece of the text, whole characters, none of it ever taken back;
            the pieces joined are the text returned. For n=1 only.

    Raises:
        ConfigError: on_text with n above 1.
        DataError: nothing to start from, or a prompt of which nothing is known.
    """
    if on_text and options.n > 1:
        raise ConfigError(f"on_text: expected n=1, got n={options.n}; leave one of them out")
    context = encode_context(tokenizer, start, prompt)
    texts = [Transcript(tokenizer, context, prompt, options.stop, on_text) for _ in range(options.n)]
    with evaluating(model):
        write = _stream if _has_stream(model) else _step
        write(model, tokenizer, context, state, options, texts)
    for text in texts:
        text.finish()
    return [text.text for text in texts]


def _step(
    model: LanguageModel,
    tokenizer: Tokenizer,
    context: Sequence[int],
    state: Sequence[States] | None,
    options: GenerationOptions,
    texts: Sequence[Transcript],
) -> None:
    """Step all texts as one batch until each has ended; those that have leave the batch."""
    sampler = Sampler(options, tokenizer.excluded_ids)
    log_probs, state = model.next_log_probs(column(model, context), state)  # [T, 1] -> [1, V]
    rows = torch.arange(options.n)
    log_probs, state = log_probs.expand(options.n, -1), select_rows(state, torch.zeros_like(rows))
    for step in range(1, options.length + 1):
        chosen = sampler.choose(log_probs, rows)  # [B, V] -> [B]
        going = _push(tokenizer, [texts[row] for row in rows.tolist()], chosen.unsqueeze(1))
        if not going or step == options.length:
            return
        if len(going) < len(rows):
            left = torch.tensor(going)
            rows, chosen, state = rows[left], chosen[left], select_rows(state, left)
        log_probs, state = model.next_log_probs(chosen.unsqueeze(0).to(log_probs.device), state)


def _stream(
    model: LanguageModel,
    tokenizer: Tokenizer,
    context: Sequence[int],
    state: Sequence[States] | None,
    options: GenerationOptions,
    texts: Sequence[Transcript],
) -> None:
    """The same by the step engine, some tokens at a time; its random numbers are others."""
    stream = model.stream(options.n)
    if len(context) > 1:
        _, state = model.next_log_probs(column(model, context[:-1]), state)
    if state is not None:
        stream.state = select_rows(state, torch.zeros(options.n, dtype=torch.int64))
    how = options.model_dump(include={"temperature", "top_k", "top_p", "greedy", "seed"})
    excluded, stop = tokenizer.excluded_ids, tokenizer.stop_id
    going = list(texts)
    for piece in stream.write(options.length, CHUNK, prompt=context[-1:], excluded=excluded, stop=stop, **how):
        places = _push(tokenizer, going, piece)
        if len(places) < len(going):
            stream.leave(set(range(len(going))) - set(places))
            going = [going[place] for place in places]


def _push(tokenizer: Tokenizer, texts: Sequence[Transcript], tokens: Tensor) -> list[int]:
    """Give each text its next tokens [B, T]; which of them go on."""
    return [
        place
        for place, (text, row) in enumerate(zip(texts, tokens.tolist(), strict=True))
        if all(token != tokenizer.stop_id and text.push(token) for token in row)
    ]


def _has_stream(model: LanguageModel) -> bool:
    """Whether the step engine runs this model: on the CPU, in the native backend."""
    if not isinstance(model, LanguageModel) or model.output.weight.dtype not in DTYPES:
        return False
    device = model.output.weight.device.type
    return device == "cpu" and choose(model.stack.stack.backend, device).name == "native"


class Transcript:
    """The text of one sample as it grows from tokens.

    What may be the beginning of the stop string is held back until it is known to be or not to be.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        context: Sequence[int],
        prompt: str,
        stop: str | None,
        on_text: Callable[[str], None] | None,
    ) -> None:
        self.text = ""
        self._stop, self._on_text = stop, on_text
        self._held, self._stopped = "", False
        self._decoder = tokenizer.stream_decoder()
        for token in context:  # so that a word is spaced from the prompt's last one
            self._decoder.push(token)
        # A tokenizer of words forgets the white space that ends a prompt and would put it there again.
        self._spaced = tokenizer.unit == "word" and (not prompt or prompt[-1].isspace())

    def push(self, token: int) -> bool:
        """Add a token; False once the stop string has come."""
        self._add(self._decoder.push(token))
        return not self._stopped

    def finish(self) -> None:
        """Add what was held back: no token follows."""
        self._add(self._decoder.finish())
        if not self._stopped:
            self._give(self._held)

    def _add(self, new: str) -> None:
        if self._stopped or not new:
            return
        if self._spaced:
            new, self._spaced = new.removeprefix(" "), False
        text = self._held + new
        end = text.find(self._stop) if self._stop else -1
        self._stopped = end >= 0
        if not self._stopped:
            end = len(text) - _overlap(text, self._stop or "")
        self._held = text[end:]
        self._give(text[:end])

    def _give(self, text: str) -> None:
        self.text += text
        if text and self._on_text:
            self._on_text(text)


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that is a beginning of `stop` but not all of it."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)
