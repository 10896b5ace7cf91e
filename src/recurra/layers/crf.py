"""The output layer of a tagger that scores whole sequences of tags: a linear-chain conditional random field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from recurra.backends import choose, linear_chain
from recurra.backends.linear_chain import NEVER, Chain
from recurra.errors import ConfigError, DataError, ShapeError
from recurra.layers.packing import check_lengths

REDUCTIONS = ("sum", "none")

Lengths = Sequence[int] | Tensor | None


class Paths(NamedTuple):
    """The best paths, the best first.

    A sequence that has fewer than K paths (C tags and L steps have at most C ** L, fewer where some are forbidden) has
    tags of -1 and a score of -inf in place of each that is not there.
    """

    tags: Tensor
    """[K, T, B] int64; -1 after a sequence's end."""
    scores: Tensor
    """[K, B]: less the log of the partition function, this is the logarithm of a path's probability."""


class LinearChainCRF(nn.Module):
    """A linear-chain conditional random field (Lafferty et al. 2001; over recurrent features Lample et al. 2016,
    arXiv:1603.01360).

    A path's score is start[y_0] + the emissions of its tags + the transitions between them + end[y_L-1]; its
    probability is exp(score) divided by the sum of that over all paths, which is computed exactly. Whatever the padding
    and the order of sequences in the batch, a sequence's results are the same; what lies after its end is not read.

    All is computed in float32 or float64, under autocast too. What is forbidden has a score of -inf, a probability of 0
    and a gradient of 0. An emission that is NaN makes the results of its own sequence NaN; `decode` refuses it.

    Args:
        num_tags: C.
        forbidden: transitions that never happen, [C, C] by tag before and tag after, as a tag scheme has them.
        forbidden_start: tags that no sequence begins with, [C].
        forbidden_end: tags that no sequence ends with, [C].
        backend: the backend by name; the fastest available where None.

    Attributes:
        transitions, start, end: weights [C, C] (from, to), [C] and [C]; 0 at the beginning.

    Shapes:
        emissions [T, B, C], tags [T, B] (int64), lengths [B] from 1 to T (None: all T).

    Raises:
        ConfigError: for an option out of range, or where what is forbidden has not these shapes.

    Example:
        >>> crf = LinearChainCRF(3)
        >>> emissions = torch.tensor([[[1.0, 0.0, 0.0]], [[0.0, 2.0, 0.0]]])
        >>> crf.decode(emissions).tags[0, :, 0]
        tensor([0, 1])
    """

    transitions: nn.Parameter
    start: nn.Parameter
    end: nn.Parameter
    forbidden_transitions: Tensor | None
    forbidden_start: Tensor | None
    forbidden_end: Tensor | None

    def __init__(
        self,
        num_tags: int,
        *,
        forbidden: Any = None,
        forbidden_start: Any = None,
        forbidden_end: Any = None,
        backend: str | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(num_tags, int) or isinstance(num_tags, bool) or num_tags < 1:
            raise ConfigError(f"num_tags: expected a whole number of at least 1, got {num_tags!r}")
        self.num_tags, self.backend = num_tags, backend
        masks = {"transitions": forbidden, "start": forbidden_start, "end": forbidden_end}
        for name, mask in masks.items():
            shape = (num_tags,) * (2 if name == "transitions" else 1)
            setattr(self, name, nn.Parameter(torch.zeros(shape)))
            self.register_buffer(f"forbidden_{name}", None if mask is None else _mask(f"forbidden {name}", mask, shape))

    def nll(self, emissions: Tensor, tags: Tensor, lengths: Lengths = None, *, reduction: str = "sum") -> Tensor:
        """The negative logarithm of the probability of the paths `tags`, in nats: a sum, or [B] for reduction "none".

        Differentiable twice; a second time in plain PyTorch.

        Raises:
            ShapeError, LengthsError: where shapes, types or lengths do not fit.
            DataError: for a tag that is none of the C, or a path that is forbidden.
        """
        if reduction not in REDUCTIONS:
            raise ConfigError(f"reduction: expected {', '.join(REDUCTIONS)}, got {reduction!r}")
        with self._chain(emissions, lengths) as chain:
            self._check_tags(chain, tags)
            found = self._values(chain, tags, reduction == "sum")
            if self._forbidden() and not found.isfinite().all():
                self._check_allowed(chain, tags)
            return found

    def partition(self, emissions: Tensor, lengths: Lengths = None) -> Tensor:
        """The logarithm of the partition function, [B]: -inf where every path is forbidden. Differentiable twice.

        Raises:
            ShapeError, LengthsError: where shapes, types or lengths do not fit.
        """
        with self._chain(emissions, lengths) as chain:
            return self._values(chain, None, False)

    def marginals(self, emissions: Tensor, lengths: Lengths = None) -> Tensor:
        """The probability of each tag at each step, [T, B, C], 0 after a sequence's end; without a gradient.

        Raises:
            ShapeError, LengthsError: where shapes, types or lengths do not fit.
        """
        with self._chain(emissions, lengths) as chain:
            return self._arithmetic(chain).marginals(Chain(*(t.detach() for t in chain)))

    def decode(self, emissions: Tensor, lengths: Lengths = None, k: int = 1) -> Paths:
        """The k best paths, exactly, by sums in double precision (Viterbi 1967), without a gradient.

        Paths of equal scores: first the one of the smaller tag where the two differ last.

        Raises:
            ShapeError, LengthsError: where shapes, types or lengths do not fit.
            DataError: for a score that is NaN or infinite (-inf is allowed).
            ConfigError: for a k below 1.
        """
        if not isinstance(k, int) or isinstance(k, bool) or k < 1:
            raise ConfigError(f"k: expected a whole number of at least 1, got {k!r}")
        with self._chain(emissions, lengths) as chain:
            _check_numbers(chain)
            doubles = Chain(*(t.detach().double() if t.is_floating_point() else t for t in chain))
            tags, scores = self._arithmetic(chain).best_paths(doubles, k)
            return Paths(tags, scores.to(chain.emissions.dtype))

    def forward(self, emissions: Tensor, tags: Tensor, lengths: Lengths = None, *, reduction: str = "sum") -> Tensor:
        """`nll`."""
        return self.nll(emissions, tags, lengths, reduction=reduction)

    def extra_repr(self) -> str:
        return ", forbidden ".join([str(self.num_tags), *self._forbidden()])

    def _forbidden(self) -> list[str]:
        return [name for name in ("transitions", "start", "end") if getattr(self, f"forbidden_{name}") is not None]

    @contextmanager
    def _chain(self, emissions: Tensor, lengths: Lengths) -> Iterator[Chain]:
        """The scores in the type that is computed in, and autocast off."""
        _check_emissions(emissions, self.transitions, self.num_tags)
        steps, batch = emissions.shape[:2]
        checked = check_lengths([steps] * batch if lengths is None else lengths, steps, batch, least=1)
        dtype = torch.promote_types(torch.promote_types(emissions.dtype, self.transitions.dtype), torch.float32)
        with torch.autocast(emissions.device.type, enabled=False):
            scores = (self._scores(name).to(dtype) for name in ("transitions", "start", "end"))
            yield Chain(emissions.to(dtype), checked, *scores)

    def _scores(self, name: str) -> Tensor:
        weight, mask = getattr(self, name), getattr(self, f"forbidden_{name}")
        found: Tensor = weight if mask is None else weight.masked_fill(mask, NEVER)
        return found

    def _arithmetic(self, chain: Chain) -> Any:
        """The module that computes: of the native backend or of the reference, with the same functions."""
        if choose(self.backend, chain.emissions.device.type).name == "native":
            from recurra.backends.native import crf  # needs the extension

            return crf
        return linear_chain

    def _values(self, chain: Chain, tags: Tensor | None, summed: bool) -> Tensor:
        found: Tensor = self._arithmetic(chain).values(chain, tags, summed=summed)
        return found

    def _check_tags(self, chain: Chain, tags: Tensor) -> None:
        shape = chain.emissions.shape[:2]
        if tags.shape != shape or tags.dtype != torch.int64:
            raise ShapeError(f"tags: expected {list(shape)} of int64, got {list(tags.shape)} of {tags.dtype}")
        low, high = tags.aminmax()
        if low >= 0 and high < self.num_tags:
            return
        wrong = ((tags < 0) | (tags >= self.num_tags)) & chain.running()
        if wrong.any():
            t, b = _first(wrong)
            raise DataError(
                f"tags: expected 0 to {self.num_tags - 1}, got {int(tags[t, b])} at step {t} of sequence {b}"
            )

    def _check_allowed(self, chain: Chain, tags: Tensor) -> None:
        """Raise DataError where the path has what the masks forbid."""
        running = chain.running()
        tags = tags.where(running, 0)
        last = running & ~torch.cat([running[1:], torch.zeros_like(running[:1])])
        if self.forbidden_start is not None:
            _refuse(self.forbidden_start[tags[:1]], tags, "no sequence may begin with tag {to}")
        if self.forbidden_transitions is not None:
            between = self.forbidden_transitions[tags[:-1], tags[1:]] & running[1:]
            wrong = torch.cat([torch.zeros_like(running[:1]), between])
            _refuse(wrong, tags, "tag {to} may not follow tag {before}")
        if self.forbidden_end is not None:
            _refuse(self.forbidden_end[tags] & last, tags, "no sequence may end with tag {to}")


def _refuse(wrong: Tensor, tags: Tensor, what: str) -> None:
    if wrong.any():
        t, b = _first(wrong)
        said = what.format(to=int(tags[t, b]), before=int(tags[t - 1, b]))
        raise DataError(f"tags: {said}, as at step {t} of sequence {b}; correct the tags, or allow it")


def _first(wrong: Tensor) -> tuple[int, int]:
    """The first step and sequence, by sequences."""
    b, t = wrong.T.nonzero()[0].tolist()
    return t, b


def _mask(name: str, mask: Any, shape: tuple[int, ...]) -> Tensor:
    found = torch.as_tensor(mask)
    if found.dtype != torch.bool or found.shape != shape:
        raise ConfigError(f"{name}: expected {list(shape)} of bool, got {list(found.shape)} of {found.dtype}")
    return found.clone()


def _check_emissions(emissions: Tensor, like: Tensor, tags: int) -> None:
    if emissions.dim() != 3 or emissions.shape[2] != tags or 0 in emissions.shape:
        raise ShapeError(f"emissions: expected [T, B, {tags}], T and B at least 1, got {list(emissions.shape)}")
    if not emissions.is_floating_point():
        raise ShapeError(f"emissions: expected floating point, got {emissions.dtype}")
    if emissions.dtype != like.dtype and not torch.is_autocast_enabled(emissions.device.type):
        raise ShapeError(
            f"emissions: expected {like.dtype} as the weights, got {emissions.dtype}; convert with x.to(...)"
        )


def _check_numbers(chain: Chain) -> None:
    for name in ("transitions", "start", "end"):
        if not getattr(chain, name).amax() < float("inf"):
            raise DataError(f"{name}: expected numbers or -inf, got NaN or infinity; has the training diverged?")
    if chain.emissions.amax() < float("inf"):
        return
    wrong = ~(chain.emissions.amax(2) < float("inf")) & chain.running()
    if wrong.any():
        t, b = _first(wrong)
        raise DataError(f"emissions: expected numbers or -inf, got NaN or infinity at step {t} of sequence {b}")
