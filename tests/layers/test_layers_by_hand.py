"""Every cell, option and wrapper against plain loops, forward and backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import by_hand
import pytest
import torch
from torch import Tensor
from variants import DIAGONAL, VARIANTS, label

from recurra.layers.forward import _OneRun
from recurra.layers.recurrent import Recurrent

T, B, I, H = 5, 3, 4, 4
LENGTHS = [3, 5, 1]


def make(cell: str, options: dict[str, Any], **wrappers: Any) -> Recurrent:
    """In float64, with no weight at a value that could hide an error."""
    torch.manual_seed(1)
    wrappers |= {} if "sizes" in wrappers else {"hidden_size": H}
    model = Recurrent(cell, I, dtype=torch.float64, **wrappers, **options)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0.1, 0.6)
    return model


def random_state(model: Recurrent, batch: int = B) -> list[dict[str, Tensor]]:
    shapes = [model.stack.state_shapes(layer, batch) for layer, _ in model.stack.runs]
    return [{n: torch.randn(s, dtype=torch.float64, requires_grad=True) for n, s in named.items()} for named in shapes]


def expect(
    model: Recurrent,
    x: Tensor,
    state: Sequence[dict[str, Tensor]],
    lengths: Sequence[int],
    masks: Sequence[dict[str, Tensor] | None] | None = None,
) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """The whole stack by hand, without dropout of any kind but the masks given."""
    stack, options, weights = model.stack, dict(model.stack.options), model.weights()
    below, outputs, finals = x, [], []
    for layer in range(stack.num_layers):
        entering = torch.cat([x, below], -1) if layer and stack.skip else below
        parts = []
        for direction in range(stack.directions):
            index, dilation = layer * stack.directions + direction, stack.dilation[layer]
            begin = {n: v if dilation > 1 else v.unsqueeze(0) for n, v in state[index].items()}
            output, final = by_hand.run_layer(
                stack.cell.name, options, weights[index], entering, begin, lengths, reverse=bool(direction),
                dilation=dilation, masks=masks[index] if masks else None, zoneout=dict(stack.zoneout),
            )  # fmt: skip
            parts.append(output)
            finals.append({n: v if dilation > 1 else v.squeeze(0) for n, v in final.items()})
        below = torch.cat(parts, -1)
        if stack.residual and below.shape == entering.shape:
            ended = torch.tensor([[[t < n] for n in lengths] for t in range(len(x))])
            below = below + entering * ended
        outputs.append(below)
    return (torch.cat(outputs, -1) if stack.skip else below), finals


def assert_same(model: Recurrent, lengths: Sequence[int] | None = None, masks: Any = None) -> None:
    """Outputs, final states and all gradients of `model` and of the loops."""
    torch.manual_seed(2)
    x = torch.randn(T, B, I, dtype=torch.float64, requires_grad=True)
    state = random_state(model)
    leaves = [x, *(v for s in state for v in s.values()), *model.parameters()]
    found = flat(*model(x, state, lengths))
    wanted = flat(*expect(model, x, state, lengths or [T] * B, masks))
    weights = [torch.randn_like(v) for v in found]
    gradients = [
        torch.autograd.grad(sum((a * b).sum() for a, b in zip(values, weights, strict=True)), leaves, allow_unused=True)
        for values in (found, wanted)
    ]
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)
    for leaf, ours, theirs in zip(leaves, *gradients, strict=True):
        zeros = torch.zeros_like(leaf)
        torch.testing.assert_close(
            zeros if ours is None else ours, zeros if theirs is None else theirs, rtol=1e-10, atol=1e-10
        )


def flat(output: Tensor, state: Sequence[dict[str, Tensor]]) -> list[Tensor]:
    return [output, *(value for states in state for value in states.values())]


@pytest.mark.parametrize(("cell", "options"), VARIANTS, ids=label)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
def test_cells(cell: str, options: dict[str, Any], lengths: list[int] | None) -> None:
    assert_same(make(cell, options, num_layers=2, bidirectional=True), lengths)


@pytest.mark.parametrize(("cell", "options"), VARIANTS, ids=label)
def test_cells_of_one_unit(cell: str, options: dict[str, Any]) -> None:
    model = make(cell, options, sizes=[1])
    assert_same(model, LENGTHS)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "ragged"])
@pytest.mark.parametrize(
    "wrappers",
    [
        {"residual": True},
        {"skip": True},
        {"skip": True, "residual": True, "sizes": [4, 8, 3]},
        {"dilation": 2},
        {"dilation": [1, 4]},
        {"dilation": [3, 7], "skip": True, "bidirectional": True},
        {"dilation": 2, "bidirectional": True, "residual": True},
        {"sizes": [5, 2]},
    ],
    ids=label,
)
@pytest.mark.parametrize("cell", by_hand.STEPS)
def test_wrappers(cell: str, wrappers: dict[str, Any], lengths: list[int] | None) -> None:
    layers = {} if "sizes" in wrappers else {"num_layers": 2}
    assert_same(make(cell, {}, **layers | wrappers), lengths)


@pytest.mark.parametrize(("cell", "options"), VARIANTS, ids=label)
@pytest.mark.parametrize("dilation", [1, 2])
def test_masks(cell: str, options: dict[str, Any], dilation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zoneout and recurrent dropout in training: the loops are given the masks that the layers drew."""
    rates: dict[str, Any] = {"zoneout": 0.4}
    if cell not in DIAGONAL:
        rates["recurrent_dropout"] = 0.4
    model = make(cell, options, num_layers=2, bidirectional=True, dilation=dilation, **rates)
    assert_same(model, masks=_drawn(model, monkeypatch))


@pytest.mark.parametrize(("cell", "options"), VARIANTS, ids=label)
def test_zoneout_in_evaluation_blends_by_its_probability(cell: str, options: dict[str, Any]) -> None:
    rates: dict[str, Any] = {} if cell in DIAGONAL else {"recurrent_dropout": 0.4}
    assert_same(make(cell, options, num_layers=2, zoneout=0.3, dropout=0.5, **rates).eval(), LENGTHS)


def test_zoneout_by_state(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("lstm", {}, zoneout={"c": 0.5})
    assert set(_drawn(model, monkeypatch)[0]) == {"zoneout.c"}
    assert_same(model.eval())


def _drawn(model: Recurrent, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """Masks by layer and direction, drawn once; from then on the model reads these."""
    masks: list[dict[str, Tensor]] = [{} for _ in model.stack.runs]
    draw = _OneRun._mask

    def fixed(self: _OneRun, node: Any, empty: Tensor) -> Tensor:
        index = self.layer * self.stack.directions + self.reverse
        drawn: Tensor = masks[index].setdefault(str(node.data), draw(self, node, empty))
        return drawn

    monkeypatch.setattr(_OneRun, "_mask", fixed)
    model(torch.randn(T, B, I, dtype=torch.float64))
    return [
        {name: mask.view(T, B, -1) if name.startswith("zoneout") else mask for name, mask in named.items()}
        for named in masks
    ]
