"""A language model one token at a time, and letting it write: nothing of Python between layers, or between tokens."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recurra.config import GenerationOptions
from recurra.errors import ConfigError, DataError, ShapeError
from recurra.layers.stream import StreamBase, stack_plans, stack_weights
from recurra.layers.tracked import Weight

if TYPE_CHECKING:
    from recurra.models.language_model import LanguageModel

CHUNK = 256
"""Tokens drawn between two looks for an interruption from the keyboard."""

TABLE_BYTES = 1 << 28
"""The largest table of the first layer's input product that is made."""


class ModelStream(StreamBase):
    """A language model one token at a time. `model.stream()` makes it.

    Random numbers come from xoshiro256++ (Blackman & Vigna 2021), for each sequence a generator of its own, set from
    the seed and its row: they are not torch's, and a sequence's do not depend on the others.

    Example:
        >>> from recurra.layers.recurrent import Recurrent
        >>> from recurra.models.language_model import LanguageModel
        >>> stream = LanguageModel(9, Recurrent("lstm", 4, 16), embedding_dim=4).stream()
        >>> stream.step([3]).shape
        torch.Size([1, 9])
        >>> stream.generate(20, temperature=0.8, seed=1).shape
        torch.Size([1, 20])
    """

    def __init__(self, model: LanguageModel, batch: int = 1, weights: str | None = None) -> None:
        self._model = model
        stack, output = model.stack, model.output
        tracked = stack_weights(stack, stack.held)
        names = ("weight", "bias") if output.bias is not None else ("weight",)
        shapes = ((model.vocabulary, stack.output_size), (model.vocabulary,))
        tracked += [Weight(output, (name,), shape) for name, shape in zip(names, shapes, strict=False)]
        if model.embedding is not None:
            tracked.append(Weight(model.embedding, ("weight",), (model.vocabulary, stack.stack.input_size)))
        self._table_wanted = self._table_open = False
        super().__init__(stack.stack, tracked, batch, weights, vocabulary=model.vocabulary)

    def _open_network(self, dtype: torch.dtype) -> tuple[Any, list[int]]:
        from recurra.backends.native.stepping import open_network, output_plan

        plans, pieces = stack_plans(self.stack)
        plans.append(output_plan(pieces, self.vocabulary, self._model.output.bias is not None))
        network = open_network(
            plans, [(len(plans), self.vocabulary)], doubles=dtype is torch.float64,
            input_width=self.stack.input_size, vocabulary=self.vocabulary, narrow=self.weights,
        )  # fmt: skip
        return network, [len(plan.weights) for plan in plans]

    def step(self, tokens: Tensor | Sequence[int]) -> Tensor:
        """Let every sequence read a token.

        Args:
            tokens: [B] token ids.

        Returns:
            Log-probabilities [B, V] of the token after it.

        Raises:
            ShapeError: for tokens that are not B whole numbers below V.
        """
        self.renew()
        given = self._tokens(tokens)
        log_probs = torch.empty(self.batch, self.vocabulary, dtype=self.dtype)
        self._read_tokens(given, 1, log_probs.data_ptr())
        return log_probs

    def read(self, tokens: Tensor | Sequence[int]) -> None:
        """Let every sequence read tokens [T], or each its own [B, T].

        Raises:
            ShapeError: for tokens that are not whole numbers below V, or not B rows of them.
        """
        found = _as_tokens(tokens)
        if found.dim() == 1:
            found = found.expand(self.batch, -1)
        if found.dim() != 2 or found.shape[0] != self.batch:
            raise ShapeError(f"tokens: expected [T] or [{self.batch}, T], got {list(found.shape)}")
        self.renew()
        self._read_tokens(found.T.contiguous(), found.shape[1], 0)

    def generate(
        self,
        n: int,
        *,
        prompt: Tensor | Sequence[int] | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        greedy: bool = False,
        seed: int | None = None,
        excluded: Sequence[int] = (),
        stop: int | None = None,
    ) -> Tensor:
        """Draw n tokens for every sequence, each after the one before; all are read, so that another call goes on.

        Args:
            n: how many, at most.
            prompt: token ids to read first, [T], or [B, T]; None to go on from what has been read.
            temperature, top_k, top_p, greedy: as `recurra.config.GenerationOptions` has them.
            seed: of the random numbers: one seed, one text, on one machine. None: another each time.
            excluded: tokens that are never drawn.
            stop: the token that ends a sequence. What follows it there is `stop` again; when all have ended, no
                more are drawn.

        Returns:
            Token ids [B, n], or fewer columns.

        Raises:
            ConfigError: for options out of range. ShapeError: for tokens that are none.
            DataError: where nothing has been read yet, or the model's output is not finite.
        """
        options: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "greedy": greedy}
        pieces = self.write(n, CHUNK, prompt=prompt, seed=seed, excluded=excluded, stop=stop, **options)
        return torch.cat(list(pieces), 1)

    def write(
        self,
        n: int,
        chunk: int,
        *,
        prompt: Tensor | Sequence[int] | None = None,
        seed: int | None = None,
        excluded: Sequence[int] = (),
        stop: int | None = None,
        **options: Any,
    ) -> Iterator[Tensor]:
        """What `generate` gives, in pieces of at most `chunk` tokens [B, chunk]; sequences may leave in between."""
        chosen = GenerationOptions.make(length=n, seed=seed, **options)
        choice = self._choice(chosen, excluded, stop)
        if prompt is not None:
            self.read(prompt)
        if not self._network.ready():
            raise DataError("generate: expected tokens that every sequence has read, got none; give prompt=...")
        self._network.seed(secrets.randbits(63) if seed is None else seed)
        return self._pieces(n, chunk, choice)

    def _pieces(self, n: int, chunk: int, choice: tuple[Any, ...]) -> Iterator[Tensor]:
        self._table_wanted = self._table_pays(n)
        try:
            while n > 0 and self.batch:
                self.renew()
                if self._table_wanted and not self._table_open:
                    self._open_table()
                tokens = torch.empty(self.batch, min(n, chunk), dtype=torch.int64)
                try:
                    made = self._network.generate(self.batch, tokens.shape[1], choice, tokens.data_ptr())
                except OverflowError as error:
                    raise DataError(f"generate: {error}; nothing can be drawn from it") from None
                yield tokens[:, :made]
                n = n - made if made == tokens.shape[1] else 0
        finally:
            self._table_wanted = False
            self._weights_came()

    def _open_table(self) -> None:
        self._table_open = self._table_wanted = self._network.open_table()
        self._copies = True  # when weights change, it goes
        self._tracked.mark()

    def _weights_came(self) -> None:
        self._network.close_table()
        self._table_open = False

    def _table_pays(self, n: int) -> bool:
        """Whether n tokens are worth a table of the first layer's input product, a row for each token.

        Rows of the table are made together, several times as fast as one by one.
        """
        shapes = self.stack.traced(0).weights.values()
        width = sum(shape[0] for shape in shapes if len(shape) == 2)
        size = self.vocabulary * width * self.dtype.itemsize
        return self.vocabulary <= 4 * n * self.batch and size <= TABLE_BYTES

    def _choice(self, options: GenerationOptions, excluded: Sequence[int], stop: int | None) -> tuple[Any, ...]:
        for name, token in [("stop", stop), *(("excluded", token) for token in excluded)]:
            if token is not None and not 0 <= token < self.vocabulary:
                raise ConfigError(f"{name}: expected tokens from 0 to {self.vocabulary - 1}, got {token}")
        if len(set(excluded)) == self.vocabulary:
            raise ConfigError("excluded: expected a token that is left, got all of them")
        top_p = 1.0 if options.top_p is None else options.top_p
        top_k = min(options.top_k or 0, self.vocabulary)
        return options.temperature, top_k, top_p, options.greedy, list(excluded), -1 if stop is None else stop

    def _tokens(self, tokens: Tensor | Sequence[int]) -> Tensor:
        found = _as_tokens(tokens)
        if found.shape != (self.batch,):
            raise ShapeError(f"tokens: expected [{self.batch}], got {list(found.shape)}")
        return found

    def _read_tokens(self, tokens: Tensor, steps: int, log_probs: int) -> None:
        try:
            self._network.read(self.batch, steps, tokens.data_ptr(), log_probs)
        except IndexError as error:
            raise ShapeError(str(error)) from None


def _as_tokens(tokens: Tensor | Sequence[int]) -> Tensor:
    try:
        found = torch.as_tensor(tokens)
    except (TypeError, ValueError, RuntimeError):
        raise ShapeError(f"tokens: expected whole numbers, got {tokens!r}") from None
    if found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        raise ShapeError(f"tokens: expected whole numbers, got {found.dtype}")
    return found.to("cpu", torch.int64).contiguous()
