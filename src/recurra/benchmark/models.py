"""Whole models: the training step of a language model, and letting one write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from recurra.benchmark.clock import Contender
from recurra.benchmark.networks import TorchModel
from recurra.benchmark.rows import LeftOut
from recurra.benchmark.workloads import Workload
from recurra.config import GenerationOptions, TrainingOptions
from recurra.decoding import generate
from recurra.layers.recurrent import Recurrent, map_state
from recurra.models.language_model import LanguageModel
from recurra.text.character import Character
from recurra.training.clipping import clip_gradients
from recurra.training.optimisers import make_optimiser, sparse_embeddings

Entries = list[Contender | LeftOut]

OPTIONS = TrainingOptions.make(optimizer="sgd", learning_rate=0.01, max_grad_norm=5.0)
"""A rate so small that the weights stay near where they start, over any number of steps."""


def torch_model(w: Workload) -> TorchModel:
    torch.manual_seed(1)
    return TorchModel(w.vocabulary, w.size, w.layers)


def our_model(w: Workload, backend: str, peer: TorchModel) -> LanguageModel:
    """recurra's model with the weights of torch's, whose two biases are one here."""
    model = LanguageModel(
        w.vocabulary, Recurrent("lstm", w.size, w.size, w.layers, backend=backend), embedding_dim=w.size
    )
    weights = peer.state_dict()
    for layer in range(w.layers):
        for ours, theirs in (("W_ih", "weight_ih"), ("W_hh", "weight_hh"), ("b", "bias_ih")):
            weights[f"stack.{ours}_l{layer}"] = weights.pop(f"stack.{theirs}_l{layer}")
        weights[f"stack.b_l{layer}"] = weights[f"stack.b_l{layer}"] + weights.pop(f"stack.bias_hh_l{layer}")
    model.load_state_dict(weights)
    return model


def train(w: Workload, backends: Sequence[str], threads: int) -> Entries:
    """Forward, loss, backward, clip by norm, SGD; the state goes from each step into the next."""
    peer = torch_model(w)
    tokens = torch.randint(w.vocabulary, (w.steps + 1, w.batch))  # [T + 1, B]
    entries: Entries = [
        Contender(f"recurra ({backend})", _our_step(our_model(w, backend, peer), tokens)) for backend in backends
    ]
    return [*entries, Contender("torch.nn", _torch_step(peer, tokens))]


def _our_step(model: LanguageModel, tokens: Tensor) -> Callable[[], float]:
    """As recurra's training loop does it."""
    optimiser = make_optimiser(model.parameters(), OPTIONS)
    inputs, targets = tokens[:-1], tokens[1:].clone()

    def steps() -> Iterator[float]:
        state: Any = None
        with sparse_embeddings(model, optimiser):
            while True:
                optimiser.zero_grad()
                features, final = model(inputs, state)
                loss = model.nats(features, targets, divisor=targets.numel())
                loss.backward()
                state = map_state(Tensor.detach, final)
                clip_gradients(model.parameters(), OPTIONS.max_grad_norm, None)
                optimiser.step()
                yield loss.item()

    return partial(next, steps())


def _torch_step(model: TorchModel, tokens: Tensor) -> Callable[[], float]:
    optimiser = torch.optim.SGD(model.parameters(), OPTIONS.learning_rate)
    inputs, targets = tokens[:-1], tokens[1:].flatten()
    state: Any = None

    def run() -> float:
        nonlocal state
        optimiser.zero_grad()
        logits, (h, c) = model(inputs, state)
        loss = cross_entropy(logits.flatten(0, 1), targets)
        loss.backward()
        state = h.detach(), c.detach()
        nn.utils.clip_grad_norm_(model.parameters(), OPTIONS.max_grad_norm or torch.inf)
        optimiser.step()
        return loss.item()

    return run


def write(w: Workload, backends: Sequence[str], threads: int) -> Entries:
    """T characters, each drawn from the model's distribution after the one before."""
    peer = torch_model(w)
    models = {f"recurra ({backend})": our_model(w, backend, peer).eval() for backend in backends}
    entries: Entries = []
    for name, model in models.items():
        entries.append(_stream(f"{name}, stream.generate", model, w))
        entries.append(Contender(f"{name}, generate", _generating(model, w)))
    return [*entries, Contender("torch.nn loop", partial(_torch_text, peer.eval(), w.steps))]


def _stream(name: str, model: LanguageModel, w: Workload) -> Contender | LeftOut:
    if model.stack.stack.backend == "reference":
        return LeftOut(name, "streams run in the native backend alone")
    return Contender(name, partial(model.stream().generate, w.steps, prompt=[0]))


def _generating(model: LanguageModel, w: Workload) -> Callable[[], Any]:
    """What `recurra generate` calls, with a vocabulary of V - 1 characters and [UNK]."""
    tokenizer = Character([chr(ord("A") + place) for place in range(w.vocabulary - 1)])
    options = GenerationOptions.make(length=w.steps, seed=1)
    return partial(generate, model, tokenizer, "A", options, start=())


@torch.no_grad()
def _torch_text(model: TorchModel, length: int) -> list[int]:
    token, state, chosen = torch.zeros(1, 1, dtype=torch.long), None, []
    for _ in range(length):
        logits, state = model(token, state)
        token = torch.multinomial(logits[0].softmax(-1), 1)  # [1, V] -> [1, 1]
        chosen.append(int(token))
    return chosen
