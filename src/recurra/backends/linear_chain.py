"""Linear-chain random fields in plain PyTorch, a loop over time: on any device, the definition of correct."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

NEVER = -float("inf")


class Chain(NamedTuple):
    """Scores of paths in a batch; -inf forbids."""

    emissions: Tensor  # [T, B, C]; nothing is read after a sequence's end
    lengths: Tensor  # [B], 1 to T, on the CPU
    transitions: Tensor  # [C, C], from and to
    start: Tensor  # [C]
    end: Tensor  # [C]

    def running(self) -> Tensor:
        """[T, B]: where a sequence has not ended."""
        device = self.emissions.device
        return torch.arange(len(self.emissions), device=device).unsqueeze(1) < self.lengths.to(device)


def values(chain: Chain, gold: Tensor | None, *, summed: bool) -> Tensor:
    """[B]: the logarithm of the partition function, less the score of the path `gold` [T, B] where there is one; or
    their sum."""
    found = log_partition(chain)
    found = found if gold is None else found - path_scores(chain, gold)
    return found.sum() if summed else found


def marginals(chain: Chain) -> Tensor:
    """[T, B, C]: posteriors, which are the gradient of the partition function's logarithm; without a gradient."""
    with torch.enable_grad():
        emissions = chain.emissions.detach().requires_grad_()
        return torch.autograd.grad(log_partition(chain._replace(emissions=emissions)).sum(), emissions)[0]


def log_partition(chain: Chain) -> Tensor:
    """[B]: log of the sum of exp(score) over all paths; -inf where every path is forbidden."""
    running = chain.running().unsqueeze(2)
    scores = chain.start + chain.emissions[0]  # [B, C]
    for t in range(1, len(chain.emissions)):
        entered = _log_sum(scores.unsqueeze(2) + chain.transitions, 1) + chain.emissions[t]
        scores = torch.where(running[t], entered, scores)
    return _log_sum(scores + chain.end, 1)


def path_scores(chain: Chain, tags: Tensor) -> Tensor:
    """[B]: the scores of the paths `tags` [T, B], of which what comes after a sequence's end is not read."""
    running = chain.running()
    tags = tags.where(running, 0)
    zero = chain.emissions.new_zeros(())
    on_tags = chain.emissions.gather(2, tags.unsqueeze(2)).squeeze(2).where(running, zero)
    between = chain.transitions[tags[:-1], tags[1:]].where(running[1:], zero)
    last = tags.gather(0, (chain.lengths.to(tags.device) - 1).unsqueeze(0)).squeeze(0)
    return chain.start[tags[0]] + on_tags.sum(0) + between.sum(0) + chain.end[last]


def best_paths(chain: Chain, paths: int) -> tuple[Tensor, Tensor]:
    """The K best paths, the best first: tags [K, T, B] and scores [K, B], of a chain in float64.

    Prefixes are kept as lists [B, C, K] by their last tag, in order. Paths of equal scores: first the one of the
    smaller tag where the two differ last.
    """
    steps, batch, count = chain.emissions.shape
    running = chain.running().unsqueeze(2).unsqueeze(2)
    scores = chain.emissions.new_full((batch, count, paths), NEVER)
    scores[:, :, 0] = chain.start + chain.emissions[0]
    stay = torch.arange(count * paths, device=scores.device).expand(batch, -1).reshape(scores.shape)
    origins = []  # where the prefixes of step t + 1 come from, [B, C, K]: tag * K + rank
    for t in range(1, steps):
        entered, origin = _select(scores.unsqueeze(3) + chain.transitions.unsqueeze(1), paths)
        scores = torch.where(running[t], entered + chain.emissions[t].unsqueeze(2), scores)
        origins.append(torch.where(running[t], origin, stay))
    ended, at = (found.squeeze(1) for found in _select((scores + chain.end.unsqueeze(1)).unsqueeze(3), paths))
    tags = [at // paths]
    for origin in reversed(origins):
        at = origin.flatten(1).gather(1, at)
        tags.append(at // paths)
    found = torch.stack(tags[::-1]).permute(2, 0, 1)  # [K, T, B]
    scores = ended.T.contiguous()
    return found.where(chain.running() & (scores > NEVER).unsqueeze(1), -1).contiguous(), scores


def _select(candidates: Tensor, paths: int) -> tuple[Tensor, Tensor]:
    """The K best of prefixes [B, C, K, W] for each of W tags, [B, W, K]; of equal ones those that come first."""
    flat = candidates.flatten(1, 2).transpose(1, 2)
    scores, places = torch.sort(flat, dim=2, descending=True, stable=True)
    return scores[..., :paths], places[..., :paths]


def _log_sum(scores: Tensor, dim: int) -> Tensor:
    """logsumexp with gradients of 0, not NaN, where all scores are -inf."""
    top = scores.detach().amax(dim, keepdim=True)
    top = top.masked_fill(top == NEVER, 0)
    total = (scores - top).exp().sum(dim)
    none = total == 0
    return total.masked_fill(none, 1).log().masked_fill(none, NEVER) + top.squeeze(dim)
