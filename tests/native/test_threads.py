"""The number of threads, and the team that the extension shares with torch."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

import recurra
from recurra.backends.threads import num_threads, use_threads
from recurra.errors import ConfigError


def test_the_default_follows_torch():
    for count in (1, 3, 2):
        torch.set_num_threads(count)
        assert recurra.get_num_threads() == count


def test_a_chosen_number_stays():
    recurra.set_num_threads(3)
    torch.set_num_threads(1)
    assert recurra.get_num_threads() == 3
    assert torch.get_num_threads() == 1


def test_a_number_for_a_while():
    torch.set_num_threads(1)
    recurra.set_num_threads(3)
    with num_threads(2):
        assert (recurra.get_num_threads(), torch.get_num_threads()) == (2, 2)
    assert (recurra.get_num_threads(), torch.get_num_threads()) == (3, 1)


@pytest.mark.parametrize("count", [0, -1, 1025, 2.0, "2", True])
def test_what_is_no_number_of_threads_is_refused(count):
    with pytest.raises(ConfigError, match="threads: expected a whole number from 1 to 1024, got "):
        recurra.set_num_threads(count)


@pytest.mark.parametrize(
    ("written", "shown"),
    [("5", "5"), ("", "2"), ("0", "ConfigError"), ("two", "ConfigError"), ("-1", "ConfigError"), ("9" * 5000, "Conf")],
)
def test_the_environment(written, shown, monkeypatch):
    monkeypatch.setenv("RECURRA_NUM_THREADS", written)
    code = "import recurra, torch; torch.set_num_threads(2); print(recurra.get_num_threads())"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    last = (result.stdout + result.stderr).strip().splitlines()[-1]
    assert last.removeprefix("recurra.errors.").startswith(shown)


def test_the_team_is_torchs(native):
    assert "/torch" in native.thread_runtime()
    torch.set_num_threads(3)
    use_threads(native)
    assert native.threads() == 3
    assert len(set(native.team(3))) == 3
    assert len(set(native.team(2))) == 2


def test_one_thread_is_the_caller(native):
    recurra.set_num_threads(1)
    use_threads(native)
    assert len(set(native.team(8))) == 1


def test_several_python_threads_at_once(native):
    """Each has a number of its own and a team of its own."""
    seen = {}

    def work(count):
        native.set_threads(count)
        seen[count] = [len(set(native.team(count))) for _ in range(100)], native.threads()

    workers = [threading.Thread(target=work, args=(count,)) for count in (1, 2, 3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert seen == {count: ([count] * 100, count) for count in (1, 2, 3)}


def team_of_child(native, results):
    results.put(len(set(native.team(4))))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_is_serial(native):
    """As data-loader workers are: the team's threads live in the parent only."""
    native.set_threads(3)
    assert len(set(native.team(3))) == 3
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=team_of_child, args=(native, results))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert results.get() == 1
    assert len(set(native.team(3))) == 3


def test_a_pool_of_its_own_where_no_runtime_is_loaded(native):
    """Before torch is loaded; after that the team is torch's. The pool ends with the process."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import _native as native; "
        "native.set_threads(3); "
        "assert native.thread_runtime() == ''; "
        "assert all(len(set(native.team(3))) == 3 for _ in range(500)); "
        "import torch; "
        "assert 'torch' in native.thread_runtime(); "
        "assert len(set(native.team(3))) == 3"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(Path(native.__file__).parent)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
