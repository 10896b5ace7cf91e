"""The LSTM, with and without peepholes, in JAX: lax.scan under jit, the gradient by jax.vjp."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from torch import Tensor

from recurra.benchmark.clock import Contender
from recurra.benchmark.rows import LeftOut
from recurra.benchmark.workloads import Workload

NAME = "jax.lax.scan"
MISSING = LeftOut(NAME, "jax is not installed (pip install 'recurra[bench]')")

Arrays = dict[str, Any]


def train(w: Workload, weights: Mapping[str, Tensor], x: Tensor, gradient: Tensor) -> Contender | LeftOut:
    """Forward and backward: the output and the gradients of x and of the weights."""
    if find_spec("jax") is None:
        return MISSING
    jax = importlib.import_module("jax")
    forward = _network(w)

    def run_both(weights: Arrays, x: Any, gradient: Any) -> Arrays:
        output, backward = jax.vjp(forward, weights, x)
        of_weights, of_x = backward(gradient)
        return {"output": output, "x": of_x, **of_weights}

    compiled, given = jax.jit(run_both), [_arrays(weights), *_arrays({"x": x, "gradient": gradient}).values()]
    return Contender(NAME, lambda: jax.block_until_ready(compiled(*given)))


def inference(w: Workload, weights: Mapping[str, Tensor], x: Tensor) -> Contender | LeftOut:
    """Forward alone."""
    if find_spec("jax") is None:
        return MISSING
    jax = importlib.import_module("jax")
    forward = _network(w)
    compiled, given = jax.jit(lambda weights, x: {"output": forward(weights, x)}), [_arrays(weights), _arrays({"x": x})]
    return Contender(NAME, lambda: jax.block_until_ready(compiled(given[0], given[1]["x"])))


def _arrays(tensors: Mapping[str, Tensor]) -> Arrays:
    jnp = importlib.import_module("jax.numpy")
    return {name: jnp.asarray(tensor.numpy()) for name, tensor in tensors.items()}


def _network(w: Workload) -> Callable[[Arrays, Any], Any]:
    """f(weights, x [T, B, I]) -> [T, B, H], with the weights of torch.nn.LSTM by their names there."""
    jax = importlib.import_module("jax")
    jnp = importlib.import_module("jax.numpy")

    def layer(weights: Arrays, x: Any, number: int) -> Any:
        of = {name.removesuffix(f"_l{number}"): value for name, value in weights.items()}
        entering = x @ of["weight_ih"].T + (of["bias_ih"] + of["bias_hh"])  # [T, B, I] -> [T, B, 4H]

        def step(state: Any, start: Any) -> Any:
            h, c = state
            i, f, g, o = jnp.split(start + h @ of["weight_hh"].T, 4, -1)  # [B, 4H] -> 4 of [B, H]
            if w.peephole:
                i, f = i + of["p_i"] * c, f + of["p_f"] * c
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            o = o + of["p_o"] * c if w.peephole else o
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zeros = jnp.zeros((x.shape[1], w.size), x.dtype)
        return jax.lax.scan(step, (zeros, zeros), entering)[1]

    def network(weights: Arrays, x: Any) -> Any:
        for number in range(w.layers):
            x = layer(weights, x, number)
        return x

    return network
