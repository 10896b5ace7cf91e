"""A cell of one's own, the multiplicative LSTM (Krause et al. 2016), stacked and bidirectional, learns to look around.

The task: at each step of a random sequence of bits, say whether the bits two steps back and two ahead differ.
"""

import torch

from recurra.equations import cell, sigmoid, split, tanh
from recurra.layers.recurrent import Recurrent


# States stand between x and p; weights are attributes of p; an option is keyword-only, with a default.
# init: the forget gate starts open. sizes: the rows of W_mx and W_mh, which a product of the two leaves open, are as
# many as the option `inner` says. All other sizes follow from the equations.
@cell(source="Krause et al. 2016 (arXiv:1609.07959)", init={"b.f": 1.0}, sizes={"W_mx": "inner", "W_mh": "inner"})
def mlstm(x, h, c, p, *, inner: int = 24):
    m = (p.W_mx @ x) * (p.W_mh @ h)  # a recurrent matrix of its own for each input
    i, f, g, o = split(p.W_ih @ x + p.W_im @ m + p.b, "i f g o")
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return {"h": sigmoid(o) * tanh(c), "c": c}


torch.manual_seed(0)
stack = Recurrent(mlstm, input_size=1, hidden_size=24, num_layers=2, bidirectional=True, inner=16)
output = torch.nn.Linear(stack.output_size, 1)
optimiser = torch.optim.Adam([*stack.parameters(), *output.parameters()], lr=0.01)
for step in range(201):
    bits = torch.randint(2, (16, 64, 1)).float()  # [T, B, 1]
    target = (bits[:-4] != bits[4:]).float()  # for the steps that have both neighbours
    logits = output(stack(2 * bits - 1)[0])[2:-2]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    if step % 40 == 0:
        right = ((logits > 0) == target.bool()).float().mean()
        print(f"step {step:3}: loss {loss.item():.3f} nats per bit, {right:.0%} right")
