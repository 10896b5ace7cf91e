"""Choosing the next token: greedy, or at random with temperature, top-k and top-p."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recurra.config import GenerationOptions


class Sampler:
    """Chooses tokens for `options.n` texts that are generated side by side.

    The random numbers are drawn on the CPU, one per text and step whether or not the text has ended: with one
    seed, a text does not depend on the device or on when the others end.

    Args:
        options: temperature, top_k, top_p, greedy, seed and n. Without a seed, every sampler differs.
        excluded: tokens that are never chosen.

    Example:
        >>> sampler = Sampler(GenerationOptions.make(greedy=True), excluded=[1])
        >>> sampler.choose(torch.tensor([[0.2, 0.5, 0.3]]).log(), torch.tensor([0])).tolist()
        [2]
    """

    def __init__(self, options: GenerationOptions, excluded: Sequence[int] = ()) -> None:
        self.options = options
        self.excluded = list(excluded)
        self._generator = torch.Generator()
        if options.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(options.seed)

    def choose(self, log_probs: Tensor, rows: Tensor) -> Tensor:
        """One token for each text: log_probs [B, V] of the texts numbered `rows` [B] -> [B], on the CPU."""
        probabilities = self.probabilities(log_probs)
        if self.options.greedy:
            return probabilities.argmax(-1)
        # The inverse of the distribution function. Its last value is x / x, exactly 1 and so above every random
        # number, and a token of probability 0 does not raise it: such a token is never the first one above.
        cumulative = probabilities.cumsum(-1)
        cumulative = cumulative / cumulative[:, -1:]
        draws = torch.rand(self.options.n, generator=self._generator, dtype=torch.float64)[rows]
        return torch.searchsorted(cumulative, draws.unsqueeze(1), right=True).squeeze(1)

    def probabilities(self, log_probs: Tensor) -> Tensor:
        """What is drawn from: log_probs [B, V] -> float64 [B, V], summing to 1.

        In this order: excluded tokens go, temperature divides the logarithms, the top_k likeliest stay (of equals
        the lower number), and of these, renormalised, the fewest that have top_p together (Holtzman et al. 2020,
        arXiv:1904.09751).
        """
        options = self.options
        scores = log_probs.detach().cpu().double() / options.temperature
        scores[:, self.excluded] = -torch.inf
        if options.top_k is not None or options.top_p is not None:
            ordered, tokens = scores.sort(dim=-1, descending=True, stable=True)
            if options.top_k is not None:
                ordered[:, options.top_k :] = -torch.inf
            ordered = keep_nucleus(ordered, options.top_p)
            scores = torch.full_like(scores, -torch.inf).scatter(-1, tokens, ordered)
        return scores.softmax(-1)


def keep_nucleus(ordered: Tensor, top_p: float | None) -> Tensor:
    """Keep of descending scores [B, V] the fewest first ones whose probability reaches top_p; the rest is -inf."""
    if top_p is None or top_p == 1:  # the sum may reach 1 by rounding before the last token
        return ordered
    probabilities = ordered.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    before[:, 0] = -1.0  # one token stays whatever the rounding
    return ordered.masked_fill(before >= top_p, -torch.inf)
