"""`recurra doctor`: its facts, and a self-test that sees what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

import recurra
from recurra import doctor
from recurra.backends import BACKENDS, Backend
from recurra.cells import CELLS
from recurra.cli.main import main

REFERENCE = BACKENDS["reference"]


@pytest.fixture(autouse=True)
def backends_in_their_order():
    """The order says which is chosen, and undoing changes one by one would not bring it back."""
    before = dict(BACKENDS)
    yield
    BACKENDS.clear()
    BACKENDS.update(before)


def add_backend(name, run):
    BACKENDS.clear()
    BACKENDS["reference"] = REFERENCE
    BACKENDS[name] = Backend(name, run, lambda device: None if device == "cpu" else "not here")


def scaled(factor):
    """The reference, with a part of its output wrong."""

    def run(jobs):
        return [(output * factor, *finals) for output, *finals in REFERENCE.run(jobs)]

    return run


def test_a_right_backend_passes():
    add_backend("twin", REFERENCE.run)
    checks = list(doctor.self_test())
    assert {(one.cell, one.dtype) for one in checks} == {(c, d) for c in CELLS for d in ("float32", "float64")}
    assert all(one.passed and one.problem is None for one in checks)
    assert max(one.output_error for one in checks if one.dtype == "float64") < 1e-14


@pytest.mark.parametrize("factor", [1.001, float("nan")])
def test_a_wrong_backend_fails(capsys, factor):
    add_backend("wrong", scaled(factor))
    assert not any(one.passed for one in doctor.self_test())
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert f"{len(CELLS)} FAILED" in shown
    assert "  gru: error " in shown


def test_an_exception_is_a_failure(capsys):
    def run(*arguments):
        raise RuntimeError("no such kernel")

    add_backend("broken", run)
    assert main(["doctor", "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert facts["well"] is False
    assert {one["problem"] for one in facts["self_test"]} == {"RuntimeError: no such kernel"}


def test_facts(capsys):
    assert main(["doctor", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["well"] is True
    assert facts["versions"]["recurra"] == recurra.__version__
    assert facts["versions"]["torch"] == torch.__version__
    assert list(facts["backends"]["cpu"]) == list(BACKENDS)
    assert facts["threads"]["torch"] == torch.get_num_threads()


def test_the_self_test_leaves_the_random_state():
    add_backend("twin", REFERENCE.run)
    before = torch.random.get_rng_state()
    list(doctor.self_test())
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("RECURRA_NUM_THREADS", "none", "RECURRA_NUM_THREADS: expected a whole number from 1 to 1024, got 'none'"),
        ("RECURRA_NUM_THREADS", "0", "RECURRA_NUM_THREADS: expected a whole number from 1 to 1024, got 0"),
    ],
)
def test_a_setting_that_cannot_be_met(monkeypatch, variable, value, message):
    monkeypatch.setenv(variable, value)
    command = [sys.executable, "-m", "recurra.cli.main", "doctor"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1, result.stderr
    assert message in result.stdout
