"""Optimisers by name: torch.optim's, Adagrad as min-char-rnn has it, and NT-ASGD."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

if TYPE_CHECKING:
    from recurra.config import TrainingOptions

INSIDE_EPS = 1e-8
"""As in min-char-rnn."""


SPARSE_FROM = 1 << 18
"""Numbers of an embedding from which on gradients of its rows alone pay."""


class AdagradInside(Optimizer):
    """Adagrad that divides by sqrt(m + eps), not sqrt(m) + eps, where m is the sum of squared gradients.

    Source: Duchi et al. 2011, equation (1) with a diagonal matrix; eps placed as in Karpathy's min-char-rnn.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, eps: float = INSIDE_EPS, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update from the gradients at hand; `closure` is not supported."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradient = parameter.grad
                if group["weight_decay"]:
                    gradient = gradient.add(parameter, alpha=group["weight_decay"])
                state = self.state[parameter]
                if not state:
                    state["sum"] = torch.zeros_like(parameter)
                state["sum"].addcmul_(gradient, gradient)
                parameter.addcdiv_(gradient, (state["sum"] + group["eps"]).sqrt_(), value=-group["lr"])


class NTASGD(SGD):
    """SGD that starts to average its weights when validation stops improving.

    Each evaluation is told to `observe`. At the first that is worse than the best of those more than
    `patience` evaluations ago, averaging starts: the average is the mean of the weights after each later
    update, and `averaged_weights` puts it in place. Updates go on from the weights themselves.

    Source: Merity et al. 2018, "Regularizing and optimizing LSTM language models", algorithm 1, with the
    condition as in the authors' program; Polyak & Juditsky 1992.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float, patience: int, weight_decay: float = 0.0) -> None:
        super().__init__(params, lr=lr, weight_decay=weight_decay)
        # In the group, so that state_dict has them.
        self.param_groups[0].update(patience=patience, validations=[], averaging=False, averaged_steps=0)

    def observe(self, validation: float) -> None:
        """Take note of an evaluation, lower is better; may start averaging."""
        group = self.param_groups[0]
        old = group["validations"][: -group["patience"]]
        group["averaging"] |= bool(old) and validation > min(old)
        group["validations"].append(validation)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update from the gradients at hand."""
        super().step()
        group = self.param_groups[0]
        if not group["averaging"]:
            return
        group["averaged_steps"] += 1
        for parameter in group["params"]:
            state = self.state[parameter]
            if "average" not in state:
                state["average"] = torch.zeros_like(parameter)
            state["average"].add_(parameter - state["average"], alpha=1 / group["averaged_steps"])

    @torch.no_grad()
    def swap_average(self) -> None:
        """Exchange the weights and their average; no effect before averaging has started."""
        for parameter in self.param_groups[0]["params"]:
            if "average" in self.state[parameter]:
                weights = parameter.clone()
                parameter.copy_(self.state[parameter]["average"])
                self.state[parameter]["average"].copy_(weights)


@contextmanager
def averaged_weights(optimiser: Optimizer) -> Iterator[None]:
    """Put the averaged weights in the model for a while, where the optimiser keeps an average."""
    if not isinstance(optimiser, NTASGD):
        yield
        return
    optimiser.swap_average()
    try:
        yield
    finally:
        optimiser.swap_average()


def observe(optimiser: Optimizer, validation: float) -> None:
    """Tell an optimiser that listens the monitored metric of an evaluation."""
    if isinstance(optimiser, NTASGD):
        optimiser.observe(validation)


def make_optimiser(parameters: Iterable[nn.Parameter], options: TrainingOptions) -> Optimizer:
    """The optimiser that the options name, over the parameters that want a gradient."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    return OPTIMISERS[options.optimizer](trained, options)


@contextmanager
def sparse_embeddings(model: nn.Module, optimiser: Optimizer) -> Iterator[None]:
    """Let embeddings have gradients of the rows that were looked up alone, where the optimiser leaves others alone.

    A batch looks up a few hundred of 10,000 words: gradients of all of them are mostly zeros that are filled in,
    squared and subtracted at each update. Of a small table they are less than what sorting the tokens takes; weights
    that other modules share have a whole gradient anyway.
    """
    holders = Counter(id(parameter) for module in model.modules() for parameter in module.parameters(recurse=False))
    plain = isinstance(optimiser, SGD) and not any(
        group["momentum"] or group["weight_decay"] for group in optimiser.param_groups
    )
    embeddings = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    former = [module.sparse for module in embeddings]
    for module in embeddings:
        module.sparse = (
            plain
            and module.weight.device.type == "cpu"
            and module.weight.numel() >= SPARSE_FROM
            and holders[id(module.weight)] == 1
        )
    try:
        yield
    finally:
        for module, sparse in zip(embeddings, former, strict=True):
            module.sparse = sparse


def _eps(options: TrainingOptions) -> dict[str, Any]:
    """The user's eps, or nothing: then the optimiser's own default holds."""
    return {} if options.eps is None else {"eps": options.eps}


def _common(options: TrainingOptions) -> dict[str, Any]:
    return {"lr": options.learning_rate, "weight_decay": options.weight_decay}


def _adagrad(parameters: list[nn.Parameter], options: TrainingOptions) -> Optimizer:
    constructor = AdagradInside if options.adagrad_eps_inside else Adagrad
    return constructor(parameters, **_common(options), **_eps(options))


OPTIMISERS: dict[str, Callable[[list[nn.Parameter], TrainingOptions], Optimizer]] = {
    "sgd": lambda parameters, options: SGD(parameters, momentum=options.momentum, **_common(options)),
    "adagrad": _adagrad,
    "rmsprop": lambda parameters, options: RMSprop(
        parameters, momentum=options.momentum, **_common(options), **_eps(options)
    ),
    # Fused: one pass over the memory in place of a dozen.
    "adam": lambda parameters, options: Adam(parameters, fused=True, **_common(options), **_eps(options)),
    "adamw": lambda parameters, options: AdamW(parameters, fused=True, **_common(options), **_eps(options)),
    "nt-asgd": lambda parameters, options: NTASGD(parameters, patience=options.averaging_patience, **_common(options)),
}
