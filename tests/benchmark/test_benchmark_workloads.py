"""The list of workloads, and the arithmetic counted in each."""

import warnings

import pytest
import torch
from small import SMALL
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.flop_counter import FlopCounterMode

from recurra.benchmark import WORKLOADS, Workload, select
from recurra.benchmark.models import torch_model
from recurra.benchmark.networks import PeepholeLoop, make_input, torch_layer
from recurra.errors import ConfigError


def counted(run):
    """What torch counts; without oneDNN, whose fused layers show it no products."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch sets TF32 as well, which some builds lack
        with torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as counter:
            run()
    return counter.get_total_flops()


@pytest.mark.parametrize("name", ["lstm-inference", "lstm-step", "gru-step"])
def test_flops_forward(name):
    w = SMALL[name]
    layer, x = torch_layer(w), make_input(w)[0].detach()
    assert counted(lambda: layer(x)) == w.flops


@pytest.mark.parametrize("name", ["lstm-train", "gru-train", "rnn-train", "memory"])
def test_flops_forward_and_backward(name):
    w = SMALL[name]
    layer, (x, gradient) = torch_layer(w), make_input(w)
    zeros = torch.zeros(w.layers, w.batch, w.size, requires_grad=True)  # so that the first step is like the others
    state = (zeros, zeros) if w.cell == "lstm" else zeros
    assert counted(lambda: layer(x, state)[0].backward(gradient)) == w.flops


def test_flops_of_a_peephole_loop():
    """The loop starts from zeros that want no gradient: one product, of the first step, is not made."""
    w = SMALL["peephole-train"]
    x, gradient = make_input(w)
    saved = 2 * w.batch * w.size * 4 * w.size
    assert counted(lambda: PeepholeLoop(w.size, w.size)(x)[0].backward(gradient)) == w.flops - saved


def test_flops_of_a_ragged_batch_leave_padding_out():
    w = SMALL["ragged-train"]
    layer, (x, _) = torch_layer(w), make_input(w)
    packed = pack_padded_sequence(x.detach(), w.lengths, enforce_sorted=False)
    assert 3 * counted(lambda: layer(packed)) == w.flops
    assert (min(w.lengths), max(w.lengths)) == (1, 7)


@pytest.mark.parametrize("name", ["word-model", "character-model"])
def test_flops_of_a_model(name):
    w = SMALL[name]
    tokens = torch.zeros(w.steps, w.batch, dtype=torch.long)
    assert 3 * counted(lambda: torch_model(w)(tokens)) == w.flops


def test_flops_by_hand():
    """Zaremba's small model: 2 layers of 4 * 200 gates over 400 values, and 10,000 words over 200, 700 rows."""
    (w,) = [one for one in WORKLOADS if one.name == "word-model" and one.size == 200]
    assert w.flops == 3 * 700 * 2 * (2 * 800 * 400 + 200 * 10_000)


def test_ragged_lengths_are_spread_evenly():
    (w,) = select(["ragged-train"])
    assert (len(w.lengths), w.lengths[0], w.lengths[-1]) == (32, 10, 40)
    gaps = {after - before for before, after in zip(w.lengths, w.lengths[1:], strict=False)}
    assert gaps <= {0, 1}


def test_sentences_of_a_tagger_are_as_long_as_in_the_treebank():
    """Mean and deviation within a tenth, the median and one in a hundred near those of UD English EWT: 14 and 57."""
    for w in select(["tagger"]):
        lengths = torch.tensor(w.lengths, dtype=torch.float64)
        assert len(lengths) == 16 * w.batch
        assert abs(lengths.mean() - 16.3) < 1.6
        assert abs(lengths.std() - 12.4) < 1.3
        assert abs(lengths.quantile(0.5) - 14) <= 2
        assert abs(lengths.quantile(0.99) - 57) <= 6
        assert (w.counted, w.flops) == ((int(lengths.sum()), "tokens"), 0)
        assert w.describe().endswith(f"characters={w.characters}")


def test_select():
    assert select(None) == WORKLOADS
    assert [one.name for one in select(["generate", "ragged-train"])] == ["ragged-train", "generate"]
    with pytest.raises(ConfigError, match=r"^only: unknown workload 'lstm-trian'; did you mean 'lstm-train'\?$"):
        select(["lstm-trian"])
    with pytest.raises(ConfigError, match=r"^only: unknown workload '--'; known: lstm-train, gru-train, .*, memory$"):
        select(["--"])


def test_describe():
    assert Workload("x", "model", "lstm", 35, 20, 200, 2, 10_000).describe() == "T=35 B=20 H=200 L=2 V=10000"
    assert Workload("x", "ragged", "lstm", 40, 32, 256).describe() == "T=10..40 B=32 H=256 L=1"
