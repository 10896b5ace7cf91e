"""The oracle of layers and cells: each cell's step in plain torch, written anew, and plain loops around it.

One sequence and one step at a time, weights by their names in the equations; nothing of the package is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

States = dict[str, Tensor]
Drop = Callable[[Tensor], Tensor]


def keep_all(value: Tensor) -> Tensor:
    return value


def rnn(x: Tensor, s: States, w: Mapping[str, Tensor], drop: Drop, activation: str = "tanh") -> tuple[Tensor, States]:
    h = getattr(torch, activation)(w["W_ih"] @ x + w["W_hh"] @ drop(s["h"]) + w["b"])
    return h, {"h": h}


def lstm(
    x: Tensor,
    s: States,
    w: Mapping[str, Tensor],
    drop: Drop,
    peephole: bool = False,
    coupled: bool = False,
    layer_norm: bool = False,
    projection: int = 0,
) -> tuple[Tensor, States]:
    from_x, from_h = w["W_ih"] @ x, w["W_hh"] @ drop(s["h"])
    if layer_norm:
        from_x, from_h = normal(from_x) * w["g_ih"], normal(from_h) * w["g_hh"]
    gates = (from_x + from_h + w["b"]).chunk(3 if coupled else 4)
    i, g, o = gates[0], gates[-2], gates[-1]
    if peephole:
        i = i + w["p_i"] * s["c"]
    i = torch.sigmoid(i)
    f = 1 - i if coupled else torch.sigmoid(gates[1] + (w["p_f"] * s["c"] if peephole else 0))
    c = f * s["c"] + i * torch.tanh(g)
    if peephole:
        o = o + w["p_o"] * c
    seen = normal(c) * w["g_c"] + w["b_c"] if layer_norm else c
    h = torch.sigmoid(o) * torch.tanh(seen)
    if projection:
        h = w["W_hr"] @ drop(h)
    return h, {"h": h, "c": c}


def lstm_1997(
    x: Tensor, s: States, w: Mapping[str, Tensor], drop: Drop, truncated: bool = False
) -> tuple[Tensor, States]:
    h = s["h"].detach() if truncated else s["h"]
    i, g, o = (w["W_ih"] @ x + w["W_hh"] @ drop(h) + w["b"]).chunk(3)
    c = s["c"] + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(c)
    return h, {"h": h, "c": c}


def gru(
    x: Tensor, s: States, w: Mapping[str, Tensor], drop: Drop, reset_after: bool = True, z_keeps: bool = True
) -> tuple[Tensor, States]:
    h = s["h"]
    if reset_after:
        x_r, x_z, x_n = (w["W_ih"] @ x + w["b_ih"]).chunk(3)
        h_r, h_z, h_n = (w["W_hh"] @ drop(h) + w["b_hh"]).chunk(3)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + r * h_n)
    else:
        x_r, x_z, x_n = (w["W_ih"] @ x + w["b"]).chunk(3)
        h_r, h_z = (w["W_hh"] @ drop(h)).chunk(2)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + w["W_hn"] @ drop(r * h))
    h = (1 - z) * n + z * h if z_keeps else (1 - z) * h + z * n
    return h, {"h": h}


def min_gru(x: Tensor, s: States, w: Mapping[str, Tensor], drop: Drop) -> tuple[Tensor, States]:
    z, n = (w["W_ih"] @ x + w["b"]).chunk(2)
    h = (1 - torch.sigmoid(z)) * s["h"] + torch.sigmoid(z) * n
    return h, {"h": h}


def min_lstm(x: Tensor, s: States, w: Mapping[str, Tensor], drop: Drop) -> tuple[Tensor, States]:
    f, i, g = (w["W_ih"] @ x + w["b"]).chunk(3)
    f, i = torch.sigmoid(f), torch.sigmoid(i)
    h = f / (f + i) * s["h"] + i / (f + i) * g
    return h, {"h": h}


def sru(x: Tensor, s: States, w: Mapping[str, Tensor], drop: Drop) -> tuple[Tensor, States]:
    u, f, r = (w["W_ih"] @ x).chunk(3)
    f = torch.sigmoid(f + w["v_f"] * s["c"] + w["b_f"])
    r = torch.sigmoid(r + w["v_r"] * s["c"] + w["b_r"])
    c = f * s["c"] + (1 - f) * u
    highway = w["W_skip"] @ x if "W_skip" in w else x
    return r * c + (1 - r) * highway, {"c": c}


STEPS: dict[str, Callable[..., tuple[Tensor, States]]] = {
    f.__name__: f for f in (rnn, lstm, lstm_1997, gru, min_gru, min_lstm, sru)
}


def normal(value: Tensor) -> Tensor:
    return layer_norm(value, value.shape)


def run_layer(
    cell: str,
    options: Mapping[str, Any],
    w: Mapping[str, Tensor],
    x: Tensor,
    begin: States,
    lengths: Sequence[int],
    *,
    reverse: bool = False,
    dilation: int = 1,
    masks: Mapping[str, Tensor] | None = None,
    zoneout: Mapping[str, float] | None = None,
) -> tuple[Tensor, States]:
    """One layer in one direction: x [T, B, I], begin [d, B, W] -> output [T, B, W] (zeros after the end), [d, B, W].

    Step k of a sequence, in the order of reading, starts from the state after step k - d. `masks` holds
    "zoneout.h" [T, B, W] (1 takes the new value) and "recurrent_dropout.0" [B, W] (0 or 1/keep, one for each
    operand of a matrix); `zoneout` the probabilities by which states blend where there are no masks.
    """
    masks = masks or {}
    step = STEPS[cell]
    columns, finals = [], []
    for b, length in enumerate(lengths):
        read = list(range(length))[::-1] if reverse else list(range(length))
        history = [{name: value[j, b] for name, value in begin.items()} for j in range(dilation)]
        outputs: dict[int, Tensor] = {}
        for k, t in enumerate(read):
            old = history[k]
            dropped = iter([mask[b] for name, mask in sorted(masks.items()) if name.startswith("recurrent")])
            drop = (lambda value, d=dropped: value * next(d)) if any("recurrent" in m for m in masks) else keep_all
            output, new = step(x[t, b], old, w, drop, **options)
            first = next((name for name in new if new[name] is output), None)
            for name in zoneout or {}:
                keep = masks[f"zoneout.{name}"][t, b] if masks else 1 - (zoneout or {})[name]
                new[name] = keep * new[name] + (1 - keep) * old[name]
            outputs[t] = output if first is None else new[first]
            history.append(new)
        width = next(iter(outputs.values())).shape if outputs else next(iter(begin.values())).shape[2:]
        columns.append(torch.stack([outputs.get(t, x.new_zeros(width)) for t in range(x.shape[0])]))
        finals.append({name: torch.stack([h[name] for h in history[-dilation:]]) for name in begin})
    return torch.stack(columns, 1), {name: torch.stack([f[name] for f in finals], 1) for name in begin}
