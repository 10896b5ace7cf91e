"""Diagonal recurrences: each hidden unit depends on its own past only, so the loop over time holds no product."""

from __future__ import annotations

from recurra.equations import Symbol, Weights, cell, sigmoid, split


@cell(source="Feng et al. 2024, Were RNNs all we needed? (arXiv:2410.01201)")
def min_gru(x: Symbol, h: Symbol, p: Weights) -> dict[str, Symbol]:
    """minGRU: a GRU whose gate and candidate see the input only.

        z, n = W_ih x + b
        h = (1 - sigmoid(z)) h + sigmoid(z) n

    Here z admits the new state, as in the paper; n is not squashed. The paper also has a form for computing in
    logarithms, whose n is made positive: that is another model. torch.nn has no such cell.
    """
    z, n = split(p.W_ih @ x + p.b, "z n")
    return {"h": h + sigmoid(z) * (n - h)}


@cell(source="Feng et al. 2024, Were RNNs all we needed? (arXiv:2410.01201)", init={"b.f": 1.0})
def min_lstm(x: Symbol, h: Symbol, p: Weights) -> dict[str, Symbol]:
    """minLSTM: an LSTM whose gates see the input only and share out one whole between keeping and writing.

        f, i, g = W_ih x + b
        f, i = sigmoid(f), sigmoid(i)
        h = f / (f + i) h + i / (f + i) g

    g is not squashed; as with minGRU, the paper's form for computing in logarithms is another model. torch.nn has no
    such cell.
    """
    f, i, g = split(p.W_ih @ x + p.b, "f i g")
    f, i = sigmoid(f), sigmoid(i)
    write = i / (f + i)
    return {"h": h + write * (g - h)}


@cell(source="Lei et al. 2018, Simple recurrent units for highly parallelizable recurrence (arXiv:1709.02755)")
def sru(x: Symbol, c: Symbol, p: Weights) -> dict[str, Symbol]:
    """SRU: a light recurrence on the memory, and a highway around it. The output h is not carried.

        u, f, r = W_ih x
        f = sigmoid(f + v_f c + b_f)
        r = sigmoid(r + v_r c + b_r)            both with the old c
        c = f c + (1 - f) u
        h = r c + (1 - r) x                     W_skip x where x and c differ in size

    The paper's scaling of the highway by a constant is left out. torch.nn has no such cell.
    """
    u, f, r = split(p.W_ih @ x, "u f r")
    f, r = sigmoid(f + p.v_f * c + p.b_f), sigmoid(r + p.v_r * c + p.b_r)
    c = u + f * (c - u)
    skip = x if x.size == c.size else p.W_skip @ x
    return {"h": skip + r * (c - skip), "c": c}
