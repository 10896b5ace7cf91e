"""`recurra train`: how flags, file and saved options meet, and what is said about the run."""

import shlex
from pathlib import Path

import pytest

from recurra.cli.flags import command_line, parse_pairs
from recurra.tasks.lm import LMConfig
from recurra.training import Stopped


def test_flags_make_the_config(recurra_command, started):
    words = "train lm c.txt --cell gru --hidden-size 64 --no-deterministic --max-grad-norm none --tie-weights"
    assert recurra_command(*words.split()).code == 0
    expected = LMConfig.make(
        data="c.txt", cell="gru", hidden_size=64, deterministic=False, max_grad_norm=None, tie_weights=True
    )
    assert started.given.config == expected
    assert started.given.task == "lm"


def test_flags_win_over_the_file_and_the_file_over_defaults(recurra_command, started, tmp_path):
    file = tmp_path / "options.yaml"
    file.write_text("data: from_file.txt\nmode: sentences\nhidden_size: 32\ntie_weights: true\nepochs: 3\n")
    recurra_command("train", "lm", "--config", str(file), "--window", "5", "--no-tie-weights", "--epochs", "10")
    expected = LMConfig.make(data="from_file.txt", mode="sentences", hidden_size=32, window=5)
    assert started.given.config == expected  # epochs 10 is the default, and was given all the same


def test_data_given_wins_over_the_file(recurra_command, started, tmp_path):
    file = tmp_path / "options.yaml"
    file.write_text("data: from_file.txt\n")
    recurra_command("train", "lm", "given.txt", "--config", str(file))
    assert started.given.data == Path("given.txt")


def test_a_saved_config_is_a_config_file(recurra_command, started, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(LMConfig.make(data="c.txt", sizes=[8, 4]).to_yaml())
    recurra_command("train", "lm", "--config", str(file), "--seed", "2")
    assert started.given.config == LMConfig.make(data="c.txt", sizes=[8, 4], seed=2)


def test_resume_leaves_the_options_to_the_run(recurra_command, started, tmp_path):
    result = recurra_command("train", "lm", "--resume", str(tmp_path))
    assert (started.given.data, started.given.resume) == (None, tmp_path)
    assert "the same again" not in result.out
    recurra_command("train", "lm", "moved.txt", "--resume", str(tmp_path))
    assert started.given.data == Path("moved.txt")


COMMANDS = [
    {"data": "c.txt"},
    {"data": "my corpus.txt", "cell": "gru", "hidden_size": 128, "learning_rate": 1e-05},
    {"data": "c.txt", "sizes": [512, 256], "dilation": [1, 2], "tie_weights": True},
    {"data": "c.txt", "cell_options": {"peephole": True, "projection": 64, "activation": "relu"}},
    {"data": "c.txt", "max_grad_norm": None, "deterministic": False, "valid": "v é.txt"},
]


@pytest.mark.parametrize("values", COMMANDS)
def test_the_command_that_is_printed_makes_the_run_again(values, recurra_command, started):
    config = LMConfig.make(**values)
    line = command_line(config, "recurra", "train", "lm", str(config.data), skip=["data"])
    result = recurra_command(*shlex.split(line)[1:])
    assert started.given.config == config
    assert result.out == f"options: runs/x/config.yaml\nthe same again: {line}\n"


def test_nothing_is_said_of_a_run_that_has_a_config_file(recurra_command, started, tmp_path):
    file = tmp_path / "options.yaml"
    file.write_text("cell: gru\n")
    assert recurra_command("train", "lm", "c.txt", "--config", str(file)).out == ""


def test_json_leaves_only_events_on_stdout(recurra_command, started):
    assert recurra_command("train", "lm", "c.txt", "--json").out == ""


def test_an_interrupted_training_is_no_success(recurra_command, started):
    started.events = [Stopped("SIGINT", interrupted=True)]
    result = recurra_command("train", "lm", "c.txt")
    assert (result.code, result.out, result.err) == (130, "stopped: SIGINT\n", "")


def test_pairs_are_typed():
    pairs = ["peephole=true", "projection=64", "scale=0.5", "activation=relu", "name=a=b", "odd=[1"]
    assert parse_pairs(pairs) == {
        "peephole": True,
        "projection": 64,
        "scale": 0.5,
        "activation": "relu",
        "name": "a=b",
        "odd": "[1",
    }
