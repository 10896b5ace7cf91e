"""The classic NumPy character RNN and recurra, update by update, in float64.

A free-running comparison is chaotic, so before each update both start from NumPy's weights, memory and state.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recurra.tasks.lm.data import prepare
from recurra.tasks.lm.job import StreamJob
from recurra.tasks.lm.network import build
from recurra.tasks.lm.options import LMConfig
from recurra.training.clipping import clip_gradients
from recurra.training.optimisers import make_optimiser

EXAMPLE = Path(__file__).parents[2] / "examples" / "min_char_rnn.py"
HIDDEN, STEPS, RATE, UPDATES = 100, 25, 0.1, 200
# NumPy's names and shapes, and the parameters of recurra's model that they are.
NAMES = {
    "Wxh": "stack.W_ih_l0",
    "Whh": "stack.W_hh_l0",
    "bh": "stack.b_l0",
    "Why": "output.weight",
    "by": "output.bias",
}


def plain_loss(weights: dict[str, Any], inputs: list[int], targets: list[int], h: Any) -> tuple[float, Any, Any]:
    """Loss summed over the steps, clipped gradients and last state of a plain loop in NumPy."""
    size = len(weights["by"])
    hs, xs, ps, loss = {-1: h}, {}, {}, 0.0
    for t, (token, target) in enumerate(zip(inputs, targets, strict=True)):
        xs[t] = np.eye(size)[token]
        hs[t] = np.tanh(weights["Wxh"] @ xs[t] + weights["Whh"] @ hs[t - 1] + weights["bh"])
        scores = np.exp(weights["Why"] @ hs[t] + weights["by"])
        ps[t] = scores / scores.sum()
        loss -= np.log(ps[t][target])
    grads = {name: np.zeros_like(value) for name, value in weights.items()}
    dh_next = np.zeros(HIDDEN)
    for t in reversed(range(len(inputs))):
        dy = ps[t].copy()
        dy[targets[t]] -= 1
        grads["Why"] += np.outer(dy, hs[t])
        grads["by"] += dy
        raw = (weights["Why"].T @ dy + dh_next) * (1 - hs[t] ** 2)
        grads["bh"] += raw
        grads["Wxh"] += np.outer(raw, xs[t])
        grads["Whh"] += np.outer(raw, hs[t - 1])
        dh_next = weights["Whh"].T @ raw
    return loss, {name: np.clip(grad, -5, 5) for name, grad in grads.items()}, hs[len(inputs) - 1]


def test_two_hundred_updates_equal_numpys(tmp_path: Path) -> None:
    options = runpy.run_path(str(EXAMPLE))["OPTIONS"]
    text = tmp_path / "text.txt"
    text.write_text("".join(f"{n} squared is {n * n}, and its half is {n / 2}.\n" for n in range(300)))
    config = LMConfig.make(data=text, dtype="float64", **options)
    assert (config.hidden_size, config.bptt, config.learning_rate) == (HIDDEN, STEPS, RATE)
    data = prepare(config, tmp_path / "data")
    model = build(config, data.tokenizer.size)
    job = StreamJob(config, model, data.train, dict, lambda: None)
    optimiser = make_optimiser(model.parameters(), config)
    parameters = dict(model.named_parameters())

    random = np.random.default_rng(0)
    shapes = {name: tuple(parameters[theirs].shape) for name, theirs in NAMES.items()}
    weights = {name: random.standard_normal(shape) * 0.01 * (len(shape) > 1) for name, shape in shapes.items()}
    memory = {name: np.zeros(shape) for name, shape in shapes.items()}
    h = np.zeros(HIDDEN)
    worst = 0.0
    for batch, _ in zip(job.batches, range(UPDATES), strict=False):
        if batch.start == 0:
            h = np.zeros(HIDDEN)
        for name, theirs in NAMES.items():
            parameters[theirs].data.copy_(torch.from_numpy(weights[name]))
            optimiser.state[parameters[theirs]]["sum"] = torch.from_numpy(memory[name]).clone()
        optimiser.zero_grad()
        result = job.loss(batch, [{"h": torch.from_numpy(h)[None]}])
        result.loss.backward()
        clip_gradients(model.parameters(), config.max_grad_norm, config.clip_grad_value)
        optimiser.step()

        loss, grads, h = plain_loss(weights, batch.inputs[:, 0].tolist(), batch.targets[:, 0].tolist(), h)
        for name in weights:
            memory[name] += grads[name] ** 2
            weights[name] = weights[name] - RATE * grads[name] / np.sqrt(memory[name] + 1e-8)
        differences = [abs(result.loss.item() - loss), np.abs(result.state[0]["h"].detach().numpy()[0] - h).max()]
        differences += [
            np.abs(parameters[theirs].detach().numpy() - weights[name]).max() for name, theirs in NAMES.items()
        ]
        worst = max(worst, *differences)
    assert worst < 1e-9


@pytest.mark.slow
def test_the_example_learns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog\n" * 400)
    runpy.run_path(str(EXAMPLE))["main"](str(text), max_steps=1000)
    losses = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines() if line.startswith("iter")]
    assert len(losses) == 10
    assert losses[-1] < 0.6 * losses[0]
