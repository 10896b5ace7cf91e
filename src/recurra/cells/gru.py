"""The gated recurrent unit, in its four forms."""

from __future__ import annotations

from recurra.equations import Symbol, Weights, cell, sigmoid, split, tanh


@cell(
    source="Cho et al. 2014 (arXiv:1406.1078); Chung et al. 2014 (arXiv:1412.3555); reset after the product: cuDNN "
    "and torch.nn.GRU"
)
def gru(x: Symbol, h: Symbol, p: Weights, *, reset_after: bool = True, z_keeps: bool = True) -> dict[str, Symbol]:
    """GRU, whose gates r and z say how much of the old state the candidate n reads, and how much stays.

        r = sigmoid(W_ir x + W_hr h + b_r)                    W_ir, W_iz, W_in: rows of W_ih; so the others
        z = sigmoid(W_iz x + W_hz h + b_z)                    b_r and b_z with reset_after: b_ir + b_hr, b_iz + b_hz
        n = tanh(W_in x + b_in + r (W_hn h + b_hn))           reset_after (cuDNN, torch)
        n = tanh(W_in x + b_n + W_hn (r h))                   not reset_after (Cho 2014, Chung 2014)
        h = (1 - z) n + z h                                   z_keeps: z keeps the old state (Cho 2014, torch)
        h = (1 - z) h + z n                                   not z_keeps: z admits the new one (Chung 2014)

    Both conventions of z are one model: sigmoid(-v) = 1 - sigmoid(v), so changing the sign of the rows of z in
    W_ih, W_hh and the biases turns one into the other.

    Cho 2014 stands for the published paper, version 3 on arXiv; version 1 has the reset after the product. Neither
    paper writes biases.

    Against torch.nn.GRU: the default is torch's model, with torch's weights. With the reset before the product there
    is one bias, and W_hh is two matrices: W_hh for r and z, W_hn for n.
    """
    if reset_after:
        x_r, x_z, x_n = split(p.W_ih @ x + p.b_ih, "r z n")
        h_r, h_z, h_n = split(p.W_hh @ h + p.b_hh, "r z n")
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        n = tanh(x_n + r * h_n)
    else:
        x_r, x_z, x_n = split(p.W_ih @ x + p.b, "r z n")
        h_r, h_z = split(p.W_hh @ h, "r z")
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        n = tanh(x_n + p.W_hn @ (r * h))
    return {"h": n + z * (h - n) if z_keeps else h + z * (n - h)}
