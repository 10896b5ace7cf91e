"""Long short-term memory: with its options, and as first published."""

from __future__ import annotations

from recurra.equations import Symbol, Weights, cell, sigmoid, split, stop_gradient, tanh
from recurra.equations import layer_norm as normalise


@cell(
    source="Hochreiter & Schmidhuber 1997, Long short-term memory; forget gate: Gers, Schmidhuber & Cummins 2000; "
    "peepholes: Gers & Schmidhuber 2000, Graves 2013 (arXiv:1308.0850); coupled gates: Greff et al. 2017 "
    "(arXiv:1503.04069); projection: Sak, Senior & Beaufays 2014 (arXiv:1402.1128); layer norm: Ba, Kiros & Hinton "
    "2016 (arXiv:1607.06450); forget bias of 1: Jozefowicz, Zaremba & Sutskever 2015",
    init={"b.f": 1.0, "g_*": 1.0, "b_c": 0.0},
    sizes={"h": "projection"},
)
def lstm(
    x: Symbol,
    h: Symbol,
    c: Symbol,
    p: Weights,
    *,
    peephole: bool = False,
    coupled: bool = False,
    layer_norm: bool = False,
    projection: int = 0,
) -> dict[str, Symbol]:
    """LSTM with forget gate.

        i, f, g, o = W_ih x + W_hh h + b
        c = sigmoid(f) c + sigmoid(i) tanh(g)
        h = sigmoid(o) tanh(c)

    peephole: the gates see the memory: i + p_i c, f + p_f c with the old c, o + p_o c with the new one.
    coupled: no forget gate of its own; what is not written is kept: sigmoid(f) becomes 1 - sigmoid(i).
    layer_norm: W_ih x and W_hh h are normalised each on its own over all gates, with gains g_ih and g_hh and one
        bias (the paper's three are added); the memory is normalised, with gain g_c and bias b_c, on its way to h.
    projection: h = W_hr (sigmoid(o) tanh(c)), with this many rows (LSTMP); the paper's second projection, which
        only the layer above sees, is left out.

    Against torch.nn.LSTM: one bias where torch has two that are added; the forget gate's bias starts at 1 (torch:
    random around 0); torch has projection (proj_size) and no other option.
    """
    if layer_norm:
        gates = normalise(p.W_ih @ x, p.g_ih) + normalise(p.W_hh @ h, p.g_hh) + p.b
    else:
        gates = p.W_ih @ x + p.W_hh @ h + p.b
    if coupled:
        i, g, o = split(gates, "i g o")
        i = sigmoid(i + p.p_i * c if peephole else i)
        f = 1 - i
    else:
        i, f, g, o = split(gates, "i f g o")
        i, f = (i + p.p_i * c, f + p.p_f * c) if peephole else (i, f)
        i, f = sigmoid(i), sigmoid(f)
    c = f * c + i * tanh(g)
    if peephole:
        o = o + p.p_o * c  # the new c
    h = sigmoid(o) * tanh(normalise(c, p.g_c, p.b_c) if layer_norm else c)
    if projection:
        h = p.W_hr @ h
    return {"h": h, "c": c}


@cell(source="Hochreiter & Schmidhuber 1997, Long short-term memory, Neural Computation 9(8), sections 4 and A.1")
def lstm_1997(x: Symbol, h: Symbol, c: Symbol, p: Weights, *, truncated: bool = False) -> dict[str, Symbol]:
    """LSTM as first published: no forget gate, so the memory only ever adds up (the constant error carousel).

        i, g, o = W_ih x + W_hh h + b
        c = c + sigmoid(i) tanh(g)
        h = sigmoid(o) tanh(c)

    truncated: the error flow of the paper: what reaches the inputs of the gates and of the cell changes their
        weights, but flows no further back through h; only the memory carries errors through time. The forward
        pass is the same, and the backward loop needs no matrix product.

    The paper squashes by scaled logistic functions (g in [-2, 2], h in [-1, 1]); here both are tanh, as in all later
    work. Its memory cells may share gates in blocks; here each has its own.

    Against torch.nn.LSTM: no forget gate, one bias instead of two.
    """
    seen = stop_gradient(h) if truncated else h
    i, g, o = split(p.W_ih @ x + p.W_hh @ seen + p.b, "i g o")
    c = c + sigmoid(i) * tanh(g)
    return {"h": sigmoid(o) * tanh(c), "c": c}
