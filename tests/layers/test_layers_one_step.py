"""One step without gradients takes a short way: it gives what the long way gives, and is taken only where it fits."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor
from variants import VARIANTS, WRAPPERS, label

import recurra.nn
from recurra.errors import ConfigError, RecurraError
from recurra.layers.one_step import OneStep, _Engine
from recurra.layers.recurrent import Recurrent

pytestmark = pytest.mark.usefixtures("native")

B, I, H = 3, 4, 4


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of rows of each step that took the short way."""
    taken: list[int] = []

    def counted(run: Any) -> Any:
        def each(self: _Engine, x: Tensor, state: Any, rows: int) -> Any:
            found = run(self, x, state, rows)
            if found is not None:
                taken.append(rows)
            return found

        return each

    for name in ("run", "run_stacked"):
        monkeypatch.setattr(_Engine, name, counted(getattr(_Engine, name)))
    return taken


def long_way(module: Any, *given: Any) -> Any:
    """With gradients on: the short way is not for them."""
    with torch.enable_grad():
        return module(*given)


def same(found: Any, expected: Any, bound: float = 1e-12) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=bound)


@pytest.mark.parametrize(("cell", "options"), VARIANTS, ids=label)
@torch.no_grad()
def test_the_short_way_is_the_long_way(cell: str, options: dict[str, Any], steps: list[int]) -> None:
    module = Recurrent(cell, I, H, 2, **options, dtype=torch.float64, init_range=0.7).eval()
    state: Any = None
    for _ in range(3):
        x = torch.randn(1, B, I, dtype=torch.float64)
        expected, then = long_way(module, x, state)
        found, state = module(x, state)
        same(found, expected)
        same(state, [dict(each) for each in then])
    assert steps == [B, B, B]


@pytest.mark.parametrize("wrapper", WRAPPERS, ids=label)
@pytest.mark.parametrize("cell", ["lstm", "min_gru"])
@torch.no_grad()
def test_wrappers(wrapper: dict[str, Any], cell: str, steps: list[int]) -> None:
    """Those that the short way is not for take the long one."""
    layers = {} if "sizes" in wrapper else {"hidden_size": H, "num_layers": 2}
    try:
        module = Recurrent(cell, I, **layers, **wrapper, dtype=torch.float64).eval()
    except ConfigError:
        pytest.skip("the cell has not this wrapper")
    x = torch.randn(*((B, 1) if module.batch_first else (1, B)), I, dtype=torch.float64)
    expected, then = long_way(module, x)
    same(module(x), (expected, [dict(each) for each in then]))
    same(module(x, then), long_way(module, x, then))
    assert bool(steps) is not ({"bidirectional", "dilation"} & set(wrapper) != set())


@pytest.mark.parametrize("face", [recurra.nn.LSTM, recurra.nn.GRU, recurra.nn.RNN])
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"batch_first": True}], ids=label)
@torch.no_grad()
def test_the_face_of_torch(face: Any, options: dict[str, Any], steps: list[int]) -> None:
    module = face(I, H, 2, dtype=torch.float64, **options).eval()
    for x in torch.randn(1, B, I), torch.randn(1, I):
        x = (x.transpose(0, 1) if x.dim() == 3 and module.batch_first else x).double()
        expected, then = long_way(module, x)
        same(module(x), (expected, then))
        same(module(x, then), long_way(module, x, then))
    assert steps == [B, B, 1, 1]


@torch.no_grad()
def test_where_the_short_way_is_not_taken(steps: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    module = Recurrent("lstm", I, H).eval()
    x = torch.randn(1, B, I)
    module(x, lengths=[1] * B)
    module(torch.randn(2, B, I))
    module(torch.nn.utils.rnn.pack_sequence([x[0, :1]]))
    long_way(module, x)
    module.train()(x)
    module.eval()
    with torch.autocast("cpu"):
        module(x)
    monkeypatch.setenv("RECURRA_BACKEND", "reference")
    module(x)
    monkeypatch.delenv("RECURRA_BACKEND")
    Recurrent("lstm", I, H, backend="reference").eval()(x)
    Recurrent("lstm", I, H, dtype=torch.bfloat16).eval()(x.bfloat16())
    module.to("meta")(x.to("meta"))
    assert steps == []


@torch.no_grad()
def test_weights_are_never_stale(steps: list[int]) -> None:
    module = Recurrent("lstm", I, H).eval()
    x = torch.randn(1, B, I)
    module(x)
    module.W_ih_l0.data.mul_(2)
    same(module(x)[0], long_way(module, x)[0], 1e-6)
    module.W_ih_l0 = torch.nn.Parameter(torch.randn_like(module.W_ih_l0))
    same(module(x)[0], long_way(module, x)[0], 1e-6)
    module.double()
    same(module(x.double())[0], long_way(module, x.double())[0])
    assert len(steps) == 4


@torch.no_grad()
def test_copies_have_a_step_engine_of_their_own() -> None:
    module = Recurrent("gru", I, H).eval()
    x = torch.randn(1, B, I)
    before = module(x)[0]
    for other in copy.deepcopy(module), pickle.loads(pickle.dumps(module)):
        other.W_ih_l0.mul_(2)
        same(other(x)[0], long_way(other, x)[0], 1e-6)
        assert not torch.equal(other(x)[0], before)
    assert torch.equal(module(x)[0], before)
    assert isinstance(module.held.one_step, OneStep)


@torch.no_grad()
def test_results_belong_to_the_caller() -> None:
    """A later step does not write over what an earlier one gave."""
    module = Recurrent("lstm", I, H).eval()
    x = torch.randn(2, 1, B, I)
    output, state = module(x[0])
    kept = output.clone(), copy.deepcopy(state)
    module(x[1], state)
    same((output, state), kept, 0)


@pytest.mark.parametrize(
    ("x", "state"),
    [
        (torch.zeros(1, B, I + 1), None),
        (torch.zeros(1, B, I).double(), None),
        (torch.zeros(1, B, I), []),
        (torch.zeros(1, B, I), [{"h": torch.zeros(B, H)}]),
        (torch.zeros(1, B, I), [{"h": torch.zeros(B, H), "d": torch.zeros(B, H)}]),
        (torch.zeros(1, B, I), [{"h": torch.zeros(B, H), "c": torch.zeros(B + 1, H)}]),
        (torch.zeros(1, B, I), [{"h": torch.zeros(B, H), "c": torch.zeros(B, H).double()}]),
        (torch.zeros(1, B, I), [{"h": torch.zeros(B, H), "c": None}]),
        (torch.zeros(1, B, I), 3),
        ([[[0.0] * I]], None),
    ],
)
def test_bad_input_has_the_message_of_the_long_way(x: Any, state: Any) -> None:
    module = Recurrent("lstm", I, H).eval()
    with pytest.raises(RecurraError) as expected:
        long_way(module, x, state)
    with torch.no_grad():
        module(torch.zeros(1, B, I))
        with pytest.raises(RecurraError) as caught:
            module(x, state)
    assert str(caught.value) == str(expected.value)
