"""The classic character RNN in 112 lines of NumPy (Karpathy 2015, min-char-rnn), in a few lines of recurra.

Hidden size 100, one-hot characters, 25 steps at a time with carried state, Adagrad at 0.1 dividing by sqrt(m + 1e-8),
gradients cut at plus and minus 5, loss summed over the 25 steps and shown smoothed by 0.999.

    python examples/min_char_rnn.py input.txt
"""

from __future__ import annotations

import math
import sys

import recurra
from recurra.training import Evaluated, Event, Step

OPTIONS = {
    "cell": "rnn", "embedding": "one-hot", "hidden_size": 100, "num_layers": 1, "batch_size": 1, "bptt": 25,
    "loss_reduction": "sum", "optimizer": "adagrad", "adagrad_eps_inside": True, "eps": 1e-8, "learning_rate": 0.1,
    "clip_grad_value": 5.0, "max_grad_norm": None,
}  # fmt: skip


def main(path: str, **more: object) -> None:
    smooth = math.log(256) * 25

    def show(event: Event) -> None:
        nonlocal smooth
        if isinstance(event, Step):
            smooth = smooth * 0.999 + event.loss * 25 * 0.001
            if event.step % 100 == 0:
                print(f"iter {event.step}, loss: {smooth:f}")
        if isinstance(event, Evaluated):
            print(f"----\n{event.sample}\n----")

    recurra.train("lm", path, on_event=show, log_every=1, eval_every=1000, overwrite=True, **OPTIONS, **more)


if __name__ == "__main__":
    main(sys.argv[1])
