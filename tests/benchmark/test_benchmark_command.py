"""`recurra bench`: the table, JSON, and what is refused."""

import json
from dataclasses import replace

import pytest
from small import SMALL

from recurra.benchmark import Conditions, LeftOut, Result, Row, bench, usable_cpus
from recurra.benchmark.rows import from_line, to_line
from recurra.cli import bench as command
from recurra.cli.main import main
from recurra.errors import ConfigError, RecurraError

CONDITIONS = Conditions(1, True, 200.0, "FMA limit", "Zen 9", 0.25, {"recurra": "1", "torch": "2"}, "reference")
W = replace(SMALL["lstm-train"], steps=35, batch=20, size=200)
MISSING = LeftOut("jax.lax.scan", "jax is not installed")
ROW = Row(
    W, 1, [Result("recurra (x)", 8.0, 7.5, 7), Result("torch.nn.LSTM", 12.0, 11.0, 7)], [MISSING], flops=800_000_000
)
TEXT = Row(SMALL["generate"], 1, [Result("recurra (x)", 10.0, 9.0, 7)], [MISSING], count=200)
EVENTS = [CONDITIONS, ROW, TEXT]

TABLE = """\
1 thread on Zen 9; recurra 1, torch 2; backend reference
FMA limit: 200 GFLOP/s (float32), just measured; load of the machine just before: 0.2
ratio: times recurra's (the first line's): above 1, recurra is the faster or the smaller

                                                  median   ratio  GFLOP/s   share of FMA limit
lstm-train T=35 B=20 H=200 L=2
  recurra (x)                                   8.000 ms    1.00    100.0  50.0%
  torch.nn.LSTM                                 12.00 ms    1.50     66.7  33.3%
  jax.lax.scan: left out, jax is not installed
generate T=7 B=1 H=5 L=2 V=11
  recurra (x)                                   10.00 ms    1.00   20,000 characters/s
"""


@pytest.fixture
def canned(monkeypatch):
    """Takes the place of measuring; what it was asked for."""
    asked = []

    def measure(*given):
        asked.append(given)
        yield from EVENTS

    monkeypatch.setattr(command, "measure", measure)
    return asked


def run(capsys, *words):
    code = main(["bench", *words])
    return code, *capsys.readouterr()


def test_the_table(canned, capsys):
    assert run(capsys) == (0, TABLE, "")


def test_json(canned, capsys):
    code, out, err = run(capsys, "--json", "--only", "lstm-train", "--quick", "--backends", "reference")
    assert (code, err) == (0, "")
    conditions, row, text = map(json.loads, out.splitlines())
    assert (conditions["event"], conditions["limit"]) == ("conditions", 200.0)
    assert row["workload"]["size"] == 200
    assert row["results"][1] == {
        "name": "torch.nn.LSTM", "median": 12.0, "least": 11.0, "samples": 7, "ratio": 1.5,
        "gflops": pytest.approx(66.67, 1e-3), "of_limit": pytest.approx(0.3333, 1e-3), "per_second": None,
    }  # fmt: skip
    assert row["left_out"] == [{"name": "jax.lax.scan", "reason": "jax is not installed"}]
    assert text["results"][0]["per_second"] == pytest.approx(20_000)
    ((workloads, _, repeats, backends),) = canned
    assert ({one.name for one in workloads}, repeats, backends) == ({"lstm-train"}, 3, ["reference"])


def test_it_measures_by_default_all_seven_times_with_one_and_two_threads(canned, capsys):
    run(capsys)
    ((workloads, threads, repeats, backends),) = canned
    assert (len(workloads) > 40, repeats, backends) == (True, 7, None)
    assert threads == [1, 2][: len(usable_cpus())]


WRONG = [
    ("--only lstm-trian", "only: unknown workload 'lstm-trian'; did you mean 'lstm-train'?"),
    ("--threads 0", f"threads: expected 1 to {len(usable_cpus())}, the CPUs that this process may use, got 0"),
    ("--threads 1 9999", f"threads: expected 1 to {len(usable_cpus())}, the CPUs that this process may use, got 9999"),
    ("--threads x", 'invalid value for --threads: unable to convert "x" into int.'),
    ("--onyl x", "unknown option '--onyl'; did you mean '--only'?"),
    ("lstm-train", "unexpected argument 'lstm-train'; see `recurra bench --help`"),
    ("--only generate --threads 1 --backends nativ", "unknown backend 'nativ'; known are "),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_wrong_command_lines(words, message, capsys):
    code, out, err = run(capsys, *words.split())
    assert (code, out) == (2, "")
    assert err.startswith(f"recurra: {message}")
    assert err.count("\n") == 1


def test_events_cross_processes_whole():
    assert [from_line(to_line(one)) for one in EVENTS] == EVENTS


def test_a_failure_of_the_process_is_told():
    with pytest.raises(RecurraError, match=r"^bench: the process that measures ended with code 1; see above$"):
        list(bench([replace(W, kind="none of them")], [1], 1))


def test_threads_are_checked_before_anything_runs():
    with pytest.raises(ConfigError, match=r"^threads: "):
        next(bench(threads=[1, 10**6]))


def test_one_command_from_end_to_end(capsys):
    code, out, err = run(capsys, "--only", "gru-step", "--quick", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert [row["event"] for row in rows] == ["conditions", *["row"] * 5]
    assert [row["workload"]["size"] for row in rows[1:]] == [16, 64, 128, 256, 512]
    assert all(row["threads"] == 1 for row in rows)
