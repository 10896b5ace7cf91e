"""Peak memory of a training step, measured in a process of its own: `python -m recurra.benchmark.memory JSON`.

The peak of the resident set (VmHWM of /proc/self/status, set back to the present value through /proc/self/clear_refs)
over one forward and backward pass, less the resident set just before it. Weights and input are there before; output,
kept values, gradients and scratch memory are what is counted. Libraries warm up on one step first.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from recurra.benchmark.rows import LeftOut, Result
from recurra.benchmark.workloads import Workload
from recurra.errors import RecurraError

PROCESS = Path("/proc/self")
PEER = "torch"
RECOMPUTE = ", recompute"
"""Added to a backend's name: with `recompute=True`."""


def measure(w: Workload, backends: Sequence[str]) -> tuple[list[Result], list[LeftOut]]:
    """Megabytes (10^6 bytes) of recurra by backend, with `recompute` too, and of torch.nn."""
    from recurra.benchmark.layers import peer_name

    ours = [(backend + how, f"recurra ({backend}){how}") for backend in backends for how in ("", RECOMPUTE)]
    names = {**dict(ours), PEER: peer_name(w)}
    if not (PROCESS / "clear_refs").is_file():
        return [], [LeftOut(name, "the peak of memory cannot be set back on this system") for name in names.values()]
    peaks = {name: _in_process(w, who) for who, name in names.items()}
    return [Result(name, peak, peak, 1) for name, peak in peaks.items()], []


def _in_process(w: Workload, who: str) -> float:
    command = [sys.executable, "-m", "recurra.benchmark.memory", json.dumps({"workload": asdict(w), "who": who})]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if ended.returncode:
        raise RecurraError(f"bench: measuring the memory of {who} ended with code {ended.returncode}; see above")
    return float(ended.stdout) / 1e6


def peak(w: Workload, who: str) -> int:
    """Bytes that one training step takes beyond what is there before it."""
    from recurra.benchmark.layers import gradients
    from recurra.benchmark.networks import make_input, our_layer, torch_layer

    layer = torch_layer(w)
    if who != PEER:
        backend = who.removesuffix(RECOMPUTE)
        layer = our_layer(w, backend, layer.state_dict(), recompute=backend != who)
    small, large = make_input(replace(w, steps=1)), make_input(w)
    for x, gradient in (small, large):
        before = _kilobytes("VmRSS")
        (PROCESS / "clear_refs").write_text("5")
        result = gradients(layer, x, gradient, lambda x=x: layer(x)[0])()  # type: ignore[misc]
        after = _kilobytes("VmHWM")
        del result
    return 1024 * (after - before)


def _kilobytes(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", (PROCESS / "status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1])


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(peak(Workload(**asked["workload"]), asked["who"]))
