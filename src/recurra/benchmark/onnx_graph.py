"""The LSTM as an ONNX graph, run by onnxruntime."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from recurra.benchmark.clock import Contender
from recurra.benchmark.rows import LeftOut
from recurra.benchmark.workloads import Workload

NAME = "onnxruntime"


def inference(w: Workload, weights: Mapping[str, Tensor], x: Tensor, threads: int) -> Contender | LeftOut:
    """Forward alone, with one operator LSTM per layer."""
    missing = [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]
    if missing:
        return LeftOut(NAME, f"{' and '.join(missing)} not installed (pip install 'recurra[bench]')")
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3  # 3: errors, no warnings
    graph = _graph(w, weights).SerializeToString()
    # Its threads would spin on after a run, on the CPUs that the next contender needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    given = {"x": x.numpy()}
    return Contender(NAME, lambda: {"output": session.run(["output"], given)[0]})


def _graph(w: Workload, weights: Mapping[str, Tensor]) -> Any:
    """x [T, B, I] -> output [T, B, H]; operator set 17, format 8: what any onnxruntime since 2022 reads."""
    onnx = importlib.import_module("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    constants = {"axes": torch.tensor([1])}
    nodes, below = [], "x"
    for layer in range(w.layers):
        of = {name: _reorder(weights[f"{name}_l{layer}"]) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
        constants[f"W{layer}"], constants[f"R{layer}"] = of["weight_ih"][None], of["weight_hh"][None]  # [1, 4H, .]
        constants[f"B{layer}"] = torch.cat([of["bias_ih"], of["bias_hh"]])[None]  # [1, 8H]
        above = "output" if layer == w.layers - 1 else f"output{layer}"
        entering = [below, f"W{layer}", f"R{layer}", f"B{layer}"]
        nodes.append(helper.make_node("LSTM", entering, [f"Y{layer}"], hidden_size=w.size))
        nodes.append(helper.make_node("Squeeze", [f"Y{layer}", "axes"], [above]))  # [T, 1, B, H] -> [T, B, H]
        below = above
    held = [numpy_helper.from_array(value.numpy(), name) for name, value in constants.items()]
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [w.steps, w.batch, w.size])
        for name in ("x", "output")
    ]
    graph = helper.make_graph(nodes, "lstm", ends[:1], ends[1:], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _reorder(value: Tensor) -> Tensor:
    """torch's gates i f g o, as rows of a matrix or a vector, in ONNX's order i o f c."""
    i, f, g, o = value.chunk(4)
    return torch.cat([i, o, f, g])
