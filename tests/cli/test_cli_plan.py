"""`recurra summary --plan`: text and JSON, for every cell."""

import json
from types import SimpleNamespace

import pytest

import recurra
import recurra.tasks
from recurra.cells import CELLS
from recurra.tasks.lm import LMConfig

RNN = """\
rnn layer 1: 3 -> 2

  forward: 1 instruction and 1 product in each step; outside 1 product; 20 flops of products per step and sequence
    before the loop, for all steps at once
      p1 = x @ W_ih^T + b
    in each step
      p2 = h[t-1] @ W_hh^T + p1
      h = tanh(p2)

  gradient: 2 instructions and 1 product in each step; outside 1 product, 3 sums; 40 flops of products per step and \
sequence
    in each step
      u1 = d_output + d_h
      u2 = u1 * (1 - h^2)
      d_h[t-1] = u2 @ W_hh
    after the loop, for all steps at once
      d_W_hh += u2^T h[t-1]
      d_W_ih += u2^T x
      d_x = u2 @ W_ih
      d_b += u2

  kept from forward to gradient, bytes per step and sequence in float32 and float64
    h                     2  8  16  the output
    all, with the output  2  8  16
"""


def test_the_page_of_a_small_cell(recurra_command):
    words = "summary --plan --cell rnn --hidden-size 2 --num-layers 1 --embedding-dim 3"
    result = recurra_command(*words.split())
    assert (result.code, result.out, result.err) == (0, RNN, "")


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("options", ["", "--zoneout 0.1 --num-layers 1", "--sizes 8 4 --recompute", "--skip"])
def test_every_cell_has_a_page(recurra_command, cell, options):
    words = ["summary", "--plan", "--cell", cell, *options.split()]
    result = recurra_command(*words)
    assert (result.code, result.err) == (0, "")
    layers = json.loads(recurra_command(*words, "--json").out)["layers"]
    assert len(layers) == (1 if "num-layers" in options else 2)
    for layer in layers:
        assert f"{cell} layer {layer['layer']}: {layer['input_size']} -> {layer['output_size']}" in result.out
        for stage in (*layer["forward"]["stages"], *layer["gradient"]["stages"]):
            assert all(f"      {line}\n" in result.out for line in stage["lines"])
    assert ("held for one piece" in result.out) == ("recompute" in options)


def test_one_hot_input_is_as_wide_as_the_vocabulary(recurra_command):
    words = "summary --plan --cell gru --hidden-size 4 --num-layers 1 --embedding one-hot --vocabulary 9"
    (layer,) = json.loads(recurra_command(*words.split(), "--json").out)["layers"]
    assert layer["input_size"] == 9
    assert "d_x" not in json.dumps(layer["gradient"])  # nothing below is trained


def test_plans_of_a_folder(recurra_command, monkeypatch):
    plans = recurra.tasks.describe_plans(LMConfig.make(num_layers=1), 5)
    monkeypatch.setitem(vars(recurra), "load", lambda folder, device: SimpleNamespace(plans=lambda: plans))
    assert json.loads(recurra_command("summary", "model", "--plan", "--json").out) == {"layers": plans}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--cell gruu", "unknown cell 'gruu'; did you mean 'gru'?"),
        ("--cell rnn --cell-options peephole=true", "cell 'rnn' has no option 'peephole'"),
        ("--hidden-size 0", "hidden_size: must be greater than or equal to 1, got 0"),
        ("x --cell gru", "summary takes a model's folder or the options of a network, not both"),
        ("/nonexistent", "/nonexistent: expected a run folder, found nothing; give a folder that recurra made"),
        ("--plann", "unknown option '--plann'; did you mean '--plan'?"),
        (
            "--embedding one-hot",
            "embedding=one-hot: the first layer's input is as wide as the vocabulary; give --vocabulary",
        ),
    ],
)
def test_bad_flags(recurra_command, words, message):
    result = recurra_command("summary", "--plan", *words.split())
    assert result.code == 2
    assert result.err.startswith(f"recurra: {message}")
    assert result.err.count("\n") == 1
