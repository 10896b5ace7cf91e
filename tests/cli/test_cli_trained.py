"""The verbs on a trained model: what they ask of it and what they print."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import recurra.tasks
from recurra.config import GenerationOptions
from recurra.tasks.lm import LMConfig


def test_evaluate(recurra_command, trained):
    result = recurra_command("evaluate", "model", "t.txt", "--batch-size", "7")
    assert trained.calls == [("load", Path("model")), ("evaluate", (Path("t.txt"), 7, None))]
    assert result.out == "bits per character  2.5000\ntokens              12,345\n"


def test_evaluate_on_the_test_data_as_json(recurra_command, trained):
    result = recurra_command("evaluate", "model", "--json")
    assert trained.calls[-1] == ("evaluate", (None, None, None))
    assert json.loads(result.out) == {"bits per character": 2.5, "tokens": 12345}


def test_generate_streams_what_is_made(recurra_command, trained):
    result = recurra_command("generate", "model", "hel", "--top-k", "3", "--temperature", "0.5", "--stop", "d")
    expected = GenerationOptions.make(top_k=3, temperature=0.5, stop="d").model_dump()
    assert trained.calls[-1] == ("generate", ("hel", expected))
    assert (result.out, result.err) == ("hello world\n", "")


@pytest.mark.parametrize(
    ("mode", "start"), [("stream", "the state after a line end"), ("sentences", "the start symbol")]
)
def test_generate_without_prompt_says_where_it_starts(recurra_command, trained, mode, start):
    trained.config = LMConfig.make(mode=mode)
    result = recurra_command("generate", "model")
    assert result.err == f"no prompt: starting from {start}\n"
    assert result.out == "lo world\n"


def test_generate_several(recurra_command, trained):
    result = recurra_command("generate", "model", "hel", "--n", "2")
    assert result.out == "--- 1 of 2\nhello world\n--- 2 of 2\nhello world\n"


def test_generate_as_json(recurra_command, trained):
    result = recurra_command("generate", "model", "hel", "--n", "2", "--json")
    assert [json.loads(line) for line in result.out.splitlines()] == [{"prompt": "hel", "text": "lo world"}] * 2


@pytest.mark.parametrize(("terminal", "shown"), [(True, "pa\\x1b[2Jb\\r\n\n"), (False, "pa\x1b[2Jb\r\n\n")])
def test_a_terminal_gets_no_control_characters(recurra_command, trained, monkeypatch, terminal, shown):
    trained.texts = ("a\x1b[2Jb\r\n",)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    assert recurra_command("generate", "model", "p").out == shown


def test_score_and_rank(recurra_command, trained):
    words = ["score", "model", "abc", "a", "ab"]
    assert recurra_command(*words).out == "-4.5000\tabc\n-1.5000\ta\n-3.0000\tab\n"
    ranked = recurra_command(*words, "--rank", "--no-end")
    assert trained.calls[-1] == ("score", (["abc", "a", "ab"], False))
    assert ranked.out == "-1.5000\ta\n-3.0000\tab\n-4.5000\tabc\n"
    assert ranked.err == "each sentence starts from the state after a line end; log-probabilities in nats\n"


def test_score_per_token(recurra_command, trained):
    assert recurra_command("score", "model", "ab", "--per-token").out == "-3.0000\tab\n  -1.5000\ta\n  -1.5000\tb\n"
    result = recurra_command("score", "model", "a", "--per-token", "--json")
    assert json.loads(result.out) == {"text": "a", "nats": -1.5, "tokens": [{"token": "a", "nats": -1.5}]}


def test_score_lines_of_a_file_and_of_stdin(recurra_command, trained, tmp_path, monkeypatch):
    file = tmp_path / "lines.txt"
    file.write_bytes("eins\r\n\nzwei ä\n".encode())
    recurra_command("score", "model", "--file", str(file))
    assert trained.calls[-1] == ("score", (["eins", "zwei ä"], True))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo")))
    recurra_command("score", "model", "zero", "--file", "-")
    assert trained.calls[-1] == ("score", (["zero", "one", "two"], True))


def test_complete(recurra_command, trained):
    assert recurra_command("complete", "model", "an", "-k", "1").out == "0.5000\tapple\n"
    assert trained.calls[-1] == ("complete", ("an", 1))
    recurra_command("complete", "model", "an")
    assert trained.calls[-1] == ("complete", ("an", 5))
    result = recurra_command("complete", "model", "an", "--json")
    assert json.loads(result.out)[1] == {"word": "pear", "probability": 0.25}


def test_summary_of_a_folder(recurra_command, trained):
    assert recurra_command("summary", "model").out == "embedding  20  10 × 2\ntotal      20\n"
    assert json.loads(recurra_command("summary", "model", "--json").out) == trained.summary()


def test_summary_of_options(recurra_command, trained, monkeypatch):
    asked = []

    def summarize(config, vocabulary):
        asked.append((config, vocabulary))
        return trained.summary()

    monkeypatch.setattr(recurra.tasks, "summarize", summarize, raising=False)
    words = "summary --cell lstm --hidden-size 100 --num-layers 4 --vocabulary 50000 --cell-options peephole=true"
    assert recurra_command(*words.split()).code == 0
    config = LMConfig.make(cell="lstm", hidden_size=100, num_layers=4, cell_options={"peephole": True})
    assert asked == [(config, 50000)]


def test_a_closed_pipe_is_quiet():
    code = (
        "import sys, types, recurra\n"
        "from recurra.cli.main import main\n"
        "words = [('word', 0.5)] * 100_000\n"
        "found = types.SimpleNamespace(words=words, exact=True)\n"
        "recurra.load = lambda folder, device: types.SimpleNamespace(complete=lambda prompt, k: found)\n"
        "sys.exit(main(['complete', 'model', 'x']))"
    )
    read, write = os.pipe()
    process = subprocess.Popen([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    os.read(read, 10)
    os.close(read)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, "")
