"""The native backend in threads and processes: several at once, forked, each instruction set, and none at all."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

import recurra
from recurra.layers.recurrent import Recurrent

ROOT = Path(__file__).parents[2]
CONTRACT = ROOT / "tests" / "backends"


def run(code, *, check=True, **environment):
    """A program of its own: (what it prints, what it complains of)."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, timeout=120
    )
    assert not check or result.returncode == 0, result.stderr
    return result.stdout.strip(), result.stderr.strip()


def trained(seed, steps=6):
    """The weights of a layer of its own sizes after a few steps, in this thread's generator."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    cell = ("lstm", "gru", "rnn", "sru")[seed % 4]
    model = Recurrent(cell, 8, 24 + 9 * seed, 2, bidirectional=True, backend="native")
    for parameter in model.parameters():
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(steps):
        x = torch.randn(12, 7 + seed, 8, generator=generator)
        lengths = [12 - (step + b) % 9 for b in range(7 + seed)]
        loss = model(x, lengths=lengths)[0].square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return [p.detach() for p in model.parameters()]


@pytest.mark.parametrize("threads", [1, 2])
def test_several_python_threads_train_at_once(native, threads):
    """Each its own layer: the numbers of one after the other, to the bit."""
    recurra.set_num_threads(threads)
    expected = [trained(seed) for seed in range(4)]
    found = {}
    workers = [threading.Thread(target=lambda s=seed: found.update({s: trained(s)})) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    for seed, weights in enumerate(expected):
        assert all(torch.equal(a, b) for a, b in zip(found[seed], weights, strict=True))


LOADER = """
import torch, recurra
from torch.utils.data import DataLoader, Dataset
from recurra.layers.recurrent import Recurrent

torch.manual_seed(0)
torch.set_num_threads(2)
model = Recurrent("lstm", 16, 96, bidirectional=True, backend="native")
x = torch.randn(30, 20, 16)

class Encoded(Dataset):
    def __len__(self):
        return 6
    def __getitem__(self, index):
        with torch.no_grad():
            return model(x + index)[0].sum(0)

expected = [Encoded()[k] for k in range(6)]
model(x)[0].sum().backward()                   # the team is there, and has run forward and backward
for count in (1, 3):
    loader = DataLoader(Encoded(), batch_size=None, num_workers=count, multiprocessing_context="fork", timeout=60)
    for found, wanted in zip(loader, expected):
        assert torch.equal(found, wanted)
    assert torch.equal(Encoded()[0], expected[0])  # and still does
print("equal")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_workers_of_a_data_loader(native):
    """Serial there, no deadlock, the same bits, after the parent used threads."""
    assert run(LOADER, OMP_NUM_THREADS="2")[0] == "equal"


def isas():
    from recurra.backends import extension

    return extension.extension().available_isas() if extension.unavailable() is None else ["native"]


def contract(isa, *tests):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RECURRA_ISA": isa, "RECURRA_REQUIRE": "native"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT, timeout=1200
    )
    assert result.returncode == 0, result.stdout[-4000:]
    assert " failed" not in result.stdout


@pytest.mark.parametrize("isa", isas())
def test_each_instruction_set_keeps_the_contract(native, isa):
    """A core of it: random cells small and wide."""
    random = CONTRACT / "test_native_random.py"
    contract(
        isa, f"{random}::test_random_cells_agree_with_the_oracle[0]",
        f"{random}::test_wide_random_cells_agree_with_the_reference[0]",
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("isa", isas())
def test_each_instruction_set_keeps_the_whole_contract(native, isa):
    contract(isa, *map(str, sorted(CONTRACT.glob("test_native*.py"))))


LAYER = """
import logging; logging.basicConfig(format="%(message)s")
import torch, recurra.nn
from recurra.backends import choose, explain
from recurra.errors import RecurraError
"""
MISSING = 'import sys; sys.modules["recurra._native"] = None\n' + LAYER
BROKEN = (
    "import importlib, sys; right = importlib.import_module\n"
    "def wrong(name, package=None):\n"
    '    if name == "recurra._native": raise ImportError("libstdc++.so.6: version GLIBCXX_3.4.99 not found")\n'
    "    return right(name, package)\n"
    "importlib.import_module = wrong\n"
) + LAYER
REASONS = {
    MISSING: "the compiled extension is missing; install a C++ compiler (g++ or clang++), then recurra again",
    BROKEN: "the compiled extension does not load: libstdc++.so.6: version GLIBCXX_3.4.99 not found",
}


@pytest.mark.parametrize("start", REASONS, ids=["missing", "broken"])
def test_without_the_extension_the_reference_runs_and_says_why(start):
    code = "print(recurra.nn.LSTM(2, 3)(torch.ones(4, 1, 2))[0].shape); print(explain(None, 'cpu'))"
    out, err = run(start + code, RECURRA_BACKEND="")
    assert out.splitlines() == ["torch.Size([4, 1, 3])", f"reference (native: {REASONS[start]})"]
    assert err == f"recurra computes in plain PyTorch: {REASONS[start]}"


ASKED = """
try: recurra.nn.LSTM(2, 3{argument})(torch.ones(4, 1, 2))
except RecurraError as error: print(type(error).__name__ + ": " + str(error))
"""


@pytest.mark.parametrize("by", ["name", "environment"])
@pytest.mark.parametrize("start", REASONS, ids=["missing", "broken"])
def test_asked_for_without_the_extension_it_is_an_error(start, by):
    argument = ", backend='native'" if by == "name" else ""
    out, _ = run(start + ASKED.format(argument=argument), RECURRA_BACKEND="native" if by == "environment" else "")
    assert out == f"BackendError: backend 'native' is not available on cpu: {REASONS[start]}"


@pytest.mark.parametrize(
    ("asked", "line"),
    [("reference", "reference (asked for)"), ("native", "native (asked for)"), ("", "native")],
)
def test_the_environment_chooses(native, asked, line):
    """And what it chose is what runs."""
    code = (
        LAYER + "import recurra._native as n\n"
        "ran, right = [], n.run\n"
        "n.run = lambda *given: (ran.append(1), right(*given))\n"
        "recurra.nn.LSTM(2, 3)(torch.ones(4, 1, 2)); print(explain(None, 'cpu'), len(ran))"
    )
    assert run(code, RECURRA_BACKEND=asked)[0] == f"{line} {int(line.startswith('native'))}"


def test_an_unknown_backend_in_the_environment_is_an_error():
    out, _ = run(LAYER + ASKED.format(argument=""), RECURRA_BACKEND="cuda")
    assert out == "BackendError: unknown backend 'cuda'; known are native, reference"
