"""Contenders compute the same: a time beside a wrong result says nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small import SMALL

from recurra.backends import BACKENDS
from recurra.benchmark import Conditions, LeftOut, Workload, bench, clock, layers, memory, models, tagging
from recurra.benchmark.clock import Contender
from recurra.benchmark.measure import measure
from recurra.benchmark.networks import make_input, torch_layer

AVAILABLE = [one.name for one in BACKENDS.values() if one.unavailable("cpu") is None]
ENTRIES = {"train": layers.train, "inference": layers.inference, "ragged": layers.ragged}
LAYERS = [name for name, w in SMALL.items() if w.kind in ENTRIES]


@pytest.fixture
def quick(monkeypatch):
    """Samples of no length; the number of threads as it was when all is over."""
    monkeypatch.setattr(clock, "SAMPLE", 1e-6)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def contenders(entries):
    return {one.name: one.run for one in entries if isinstance(one, Contender)}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_agree(name):
    w = SMALL[name]
    runs = contenders(ENTRIES[w.kind](w, AVAILABLE, 1))
    runs.pop("torch.nn.LSTM, padded", None)  # runs into the padding and computes something else
    first, *others = ({key: np.asarray(v.detach()) if isinstance(v, torch.Tensor) else np.asarray(v)
                       for key, v in run().items()} for run in runs.values())  # fmt: skip
    assert {f"recurra ({backend})" for backend in AVAILABLE} < set(runs)
    for other in others:
        assert other.keys() == first.keys()
        for key, value in other.items():
            np.testing.assert_allclose(value, first[key], rtol=2e-4, atol=2e-5, err_msg=key)


@pytest.mark.parametrize("name", ["lstm-step", "gru-step"])
def test_steps_agree(name):
    """The second step too: each carries its state."""
    w = SMALL[name]
    x = make_input(w)[0].detach()
    state, truth = None, []
    with torch.no_grad():
        for _ in range(2):
            output, state = torch_layer(w)(x, state)
            truth.append(output.flatten())
    for run in [run for one, run in contenders(layers.step(w, AVAILABLE, 1)).items() if "weights" not in one]:
        for expected in truth:
            torch.testing.assert_close(run().flatten(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["word-model", "character-model"])
def test_models_start_from_one_loss(name):
    losses = [run() for run in contenders(models.train(SMALL[name], AVAILABLE, 1)).values()]
    assert len(losses) == len(AVAILABLE) + 1
    assert losses == pytest.approx(losses[:1] * len(losses), rel=1e-5)


def test_models_learn():
    for run in contenders(models.train(SMALL["character-model"], AVAILABLE, 1)).values():
        losses = [run() for _ in range(50)]
        assert losses[-1] < losses[0]


@pytest.mark.parametrize("characters", ["lstm", "cnn"])
def test_taggers_train_alike(characters):
    """Two epochs of Adam: features, gradients and updates agree, word by word as form by form."""
    w = replace(SMALL["tagger"], characters=characters)
    runs = contenders(tagging.train(w, AVAILABLE, 1, dropout=0.0)).values()
    losses = [[run(), run()] for run in runs]
    assert len(losses) == len(AVAILABLE) + 1
    assert losses[0][1] < losses[0][0]
    for other in losses[1:]:
        assert other == pytest.approx(losses[0], rel=1e-4)


def test_models_write():
    for name, run in contenders(models.write(SMALL["generate"], AVAILABLE, 1)).items():
        (text,) = run() if "generate" in name else [run()]
        assert len(text) == SMALL["generate"].steps, name


def test_every_kind_gives_a_row(quick):
    small = [one for one in SMALL.values() if one.kind != "memory"]
    conditions, *rows = measure(small, 1, 1, AVAILABLE)
    assert isinstance(conditions, Conditions)
    assert conditions.limit > 0
    assert [row.workload for row in rows] == small
    for row in rows:
        assert row.results[0].name.startswith(f"recurra ({AVAILABLE[0]})")
        assert len(row.results) > len(AVAILABLE)
        assert all(result.median > 0 for result in row.results)


def test_memory_holds_at_least_the_results():
    """Output and gradients of x and of the weights are in it; what a layer keeps is not a hundred times that."""
    w = Workload("memory", "memory", "lstm", 200, 16, 128, one_thread=True)
    results, left_out = memory.measure(w, AVAILABLE[:1])
    if left_out:
        pytest.skip(left_out[0].reason)
    least = 4 * (2 * 200 * 16 * 128 + 2 * 4 * 128 * 128 + 2 * 4 * 128) / 1e6
    ours = f"recurra ({AVAILABLE[0]})"
    assert [one.name for one in results] == [ours, f"{ours}, recompute", "torch.nn.LSTM"]
    assert all(0.95 * least < one.median < 100 * least for one in results)  # pages and cached memory blur it


def test_processes(quick):
    """Rows come from a process for each number of threads, with what is missing named."""
    events = list(bench([SMALL["lstm-inference"], SMALL["lstm-step"]], [1], 1, AVAILABLE[:1]))
    assert [type(one).__name__ for one in events] == ["Conditions", "Row", "Row"]
    conditions, inference, _ = events
    assert conditions.threads == inference.threads == 1
    assert "torch" in conditions.versions
    named = {one.name for one in [*inference.results, *inference.left_out]}
    assert named == {f"recurra ({AVAILABLE[0]})", "torch.nn.LSTM", "jax.lax.scan", "onnxruntime"}
    assert all(isinstance(one, LeftOut) for one in inference.left_out)
