"""A trained language model: evaluate, score, complete and generate."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from recurra.config import GenerationOptions
from recurra.decoding import Completions, Score, complete, generate, score
from recurra.decoding.context import evaluating
from recurra.errors import ConfigError, DataError
from recurra.models.language_model import LanguageModel
from recurra.models.stepped import SteppedModel
from recurra.tasks.lm.backward import Backward
from recurra.tasks.lm.data import Part, encoded, is_prepared, prepare
from recurra.tasks.lm.job import evaluate, line_end
from recurra.tasks.lm.network import build, plans
from recurra.tasks.lm.options import LMConfig
from recurra.tasks.run import PREDICTION_ROWS, Run
from recurra.text import Tokenizer, load_tokenizer
from recurra.text.tokenizer import check_unicode
from recurra.training.memory import enough_memory

TOKENIZER = "tokenizer.json"


class LanguageModelRun(Run[LMConfig, Tokenizer, LanguageModel]):
    """A trained language model and what it was trained with.

    Attributes:
        folder: its run folder.
        config: its options.
        tokenizer: between text and tokens.
        model: the network.

    Example:
        >>> run = recurra.load("runs/lm-corpus")  # doctest: +SKIP
        >>> run.generate("Once upon", length=100, temperature=0.7)  # doctest: +SKIP
    """

    options = LMConfig

    @staticmethod
    def load_fitted(folder: Path) -> Tokenizer:
        return load_tokenizer(folder / TOKENIZER)

    @staticmethod
    def build(config: LMConfig, fitted: Tokenizer, device: torch.device | str = "cpu") -> LanguageModel:
        return build(config, fitted.size, device)

    @property
    def tokenizer(self) -> Tokenizer:
        """Between text and tokens."""
        return self.fitted

    def plans(self) -> list[dict[str, Any]]:
        return plans(self.model)

    def evaluate(
        self, path: Path | str | None = None, *, batch_size: int | None = None, weights: str | None = None
    ) -> dict[str, float]:
        """Score every token of a text exactly once.

        Args:
            path: a text file; None for the test text of the model's training.
            batch_size: parts of the text scored side by side. It changes the speed, and the result hardly: each part
                but the first reads some of the text before it, to know its state.
            weights: "bf16" or "int8" to compute with weights rounded to these, as `model.stream` does; on the CPU.

        Returns:
            Nats, bits and perplexity per token, bits per character, counts; the unit is in each name.

        Raises: DataError for a text that cannot be read, or where there is no test text.
        """
        with contextlib.ExitStack() as stack:
            if path is not None:
                part: Part | None = stack.enter_context(encoded(Path(path), self.tokenizer))
            elif is_prepared(self.folder / "data"):
                part = prepare(self.config, self.folder / "data", self.tokenizer).test
            else:  # not from where the text once was: it may be another one by now
                part = None
            if part is None:
                raise DataError(f"{self.folder}: has no test text in its data folder; give a file to evaluate on")
            stack.enter_context(evaluating(self.model))
            stack.enter_context(enough_memory(self.device, "lower --batch-size"))
            model: Any = SteppedModel(self.model, weights) if weights else self.model
            return evaluate(model, self.config, self.tokenizer, part, batch_size or PREDICTION_ROWS)

    @property
    def start(self) -> list[int]:
        """Tokens that a text without a prompt starts from: a line end or the start symbol; none if neither is known."""
        first = line_end(self.tokenizer) if self.tokenizer.start_id is None else self.tokenizer.start_id
        return [] if first is None else [first]

    def generate(
        self, prompt: str | None = None, *, on_text: Callable[[str], None] | None = None, **options: Any
    ) -> list[str]:
        """Texts that go on from a prompt (before it, for a backward model), without the prompt.

        Args:
            prompt: text; without one, generation starts from the state after a line end, or from the start symbol.
            on_text: called with each piece of the text as it is made, for n=1.
            options: fields of `recurra.config.GenerationOptions`: length (in tokens), n, temperature, top_k, top_p,
                greedy, seed, stop.

        Raises: ConfigError for options out of range, DataError for a prompt of which nothing is known.
        """
        chosen = GenerationOptions.make(**options)
        if on_text is not None and chosen.n > 1:
            raise ConfigError(f"on_text: expected n=1, got n={chosen.n}; leave one of them out")
        if self.config.direction == "forward":
            return generate(self.model, self.tokenizer, prompt or "", chosen, start=self.start, on_text=on_text)
        backward: Any = Backward(self.tokenizer, chosen)
        read = self.tokenizer.decode([*self.tokenizer.encode(prompt or ""), *self.start])
        texts = generate(self.model, backward, prompt or "", chosen, start=self.start)
        before = [text.removesuffix(read) for text in texts]
        if on_text is not None:
            on_text(before[0])
        return before

    def score(self, texts: Sequence[str], end: bool = True) -> list[Score]:
        """Log-probabilities, in nats, of sentences, each by itself after a line end or the start symbol.

        Args:
            texts: the sentences.
            end: count the end of the sentence too: its line end or the stop symbol.

        Raises: DataError where the model knows no line end to start from.
        """
        if isinstance(texts, str):
            raise ConfigError("score: expected a list of sentences, got one str; wrap it in a list")
        if not self.start:
            raise DataError(f"{self.folder}: knows no line end, so no sentence can start; train on a text with lines")
        last = self.start if self.tokenizer.stop_id is None else [self.tokenizer.stop_id]
        tokenizer: Any = Backward(self.tokenizer) if self.config.direction == "backward" else self.tokenizer
        return score(self.model, tokenizer, texts, start=self.start, end=last if end else [])

    def complete(self, prompt: str, k: int = 5) -> Completions:
        """The k likeliest next words with their probabilities, in `words`; a word that the prompt begins is completed.

        Raises: ConfigError for a backward model, DataError for a prompt of which nothing is known.
        """
        if self.config.direction == "backward":
            raise ConfigError(f"{self.folder}: predicts backward, so it knows no next word; use score or generate")
        check_unicode(prompt)
        return complete(self.model, self.tokenizer, prompt, k, start=self.start)
