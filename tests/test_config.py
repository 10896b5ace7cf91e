"""Options: one place for each default, YAML and back, and one-line errors for whatever does not fit."""

import subprocess
import sys
from pathlib import Path

import pydantic
import pytest
import yaml

from recurra.config import FORMAT_VERSION, GenerationOptions, StackOptions, TextOptions, TrainingOptions
from recurra.errors import ConfigError
from recurra.tasks.lm import LMConfig

CONFIGS = [LMConfig, TextOptions, StackOptions, TrainingOptions, GenerationOptions]

CHANGES = [
    {},
    {"cell": "gru", "hidden_size": 128, "learning_rate": 1e-05, "max_grad_norm": None},
    {"sizes": [512, 256], "dilation": [1, 2], "data": Path("dir/korpus ä.txt")},
    {"cell_options": {"peephole": True, "projection": 64, "scale": 0.5, "activation": "relu"}},
    {"unit": "word", "mode": "sentences", "window": 5, "number_token": True, "vocabulary_size": 1000},
    {"valid": "v.txt", "test": "t.txt", "deterministic": False, "optimizer": "sgd", "momentum": 0.9},
]


@pytest.mark.parametrize("config", CONFIGS)
def test_every_option_has_help_and_a_valid_default(config):
    for name, field in config.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
    assert config.make().changed() == {}


@pytest.mark.parametrize("config", CONFIGS)
def test_groups_name_every_option_once(config):
    names = [name for group in config.groups().values() for name in group]
    assert sorted(names) == sorted(config.model_fields)


def test_groups_come_in_the_order_of_the_bases():
    expected = ["Data", "Text", "Language model", "Network", "Truncation", "Training"]
    assert list(LMConfig.groups()) == expected


@pytest.mark.parametrize("values", CHANGES)
def test_yaml_and_back(values, tmp_path):
    config = LMConfig.make(**values)
    file = tmp_path / "config.yaml"
    file.write_text(config.to_yaml(), encoding="utf-8")
    assert LMConfig.from_yaml(file) == config
    assert yaml.safe_load(config.to_yaml())["format_version"] == FORMAT_VERSION


@pytest.mark.parametrize("values", CHANGES)
def test_changed_options_alone_make_the_config_again(values):
    config = LMConfig.make(**values)
    assert set(config.changed()) == set(values)
    assert LMConfig.make(**config.changed()) == config


def test_values_win_over_the_file(tmp_path):
    file = tmp_path / "options.yaml"
    file.write_text("cell: gru\nhidden_size: 32\nlearning_rate: 1e-3\n")  # YAML 1.1 reads 1e-3 as text
    config = LMConfig.from_yaml(file, hidden_size=64)
    assert (config.cell, config.hidden_size, config.learning_rate) == ("gru", 64, 0.001)


def test_a_contradiction_counts_after_merging(tmp_path):
    file = tmp_path / "options.yaml"
    file.write_text("mode: sentences\n")
    assert LMConfig.from_yaml(file, window=3).window == 3


def test_configs_are_frozen():
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        LMConfig.make().hidden_size = 3


WRONG = [
    ({"hiden_size": 3}, "unknown option 'hiden_size'; did you mean 'hidden_size'?"),
    ({"hidden": 3}, "unknown option 'hidden'; did you mean 'hidden_size'?"),
    ({"zzz": 3}, "unknown option 'zzz'"),
    ({"hidden_size": 0}, "hidden_size: must be greater than or equal to 1, got 0"),
    ({"hidden_size": "many"}, "hidden_size: must be a valid integer, got 'many'"),
    ({"hidden_size": 1.5}, "hidden_size: must be a valid integer, got 1.5"),
    ({"hidden_size": True}, "hidden_size: must not be true or false, got True"),
    ({"hidden_size": None}, "hidden_size: must be a valid integer, got None"),
    ({"dropout": 1.0}, "dropout: must be less than 1, got 1.0"),
    ({"learning_rate": float("nan")}, "learning_rate: must be a finite number, got nan"),
    ({"lowercase": "maybe"}, "lowercase: must be a valid boolean, got 'maybe'"),
    ({"mode": "strem"}, "mode: must be 'stream' or 'sentences', got 'strem'; did you mean 'stream'?"),
    ({"cell": 3}, "cell: must be a valid string, got 3"),
    ({"data": 3}, "data: is not a valid path, got 3"),
    ({"cell_options": ["x"]}, "cell_options: must be a valid dictionary, got ['x']"),
    (
        {"cell_options": {"projection": [1]}},
        "cell_options.projection: must be true, false, a number or text, got [1]",
    ),
    ({"sizes": [8], "hidden_size": 8}, "sizes gives the units of each layer; leave out hidden_size"),
    ({"sizes": [8, 0]}, "sizes: each must be from 1 to 1048576, got [8, 0]"),
    ({"sizes": [8, "x"]}, "sizes: must be a valid integer, got 'x'"),
    ({"dilation": [1, 2, 4]}, "dilation: expected 1 number or 2, one per layer, got [1, 2, 4]"),
    ({"window": 3}, "window has no effect with mode=stream; it needs mode=sentences"),
    ({"number_token": True}, "number_token has no effect with unit=char; it needs unit=word"),
    (
        {"unit": "byte", "vocabulary_size": 9},
        "vocabulary_size has no effect with unit=byte; it needs unit=char or word or bpe",
    ),
    ({"valid_frac": 0.5, "test_frac": 0.5}, "valid_frac + test_frac must be less than 1, got 0.5 + 0.5"),
    (
        {"valid": "v.txt", "valid_frac": 0.2},
        "valid_frac has no effect with valid=v.txt; leave one of them out",
    ),
    ({"bptt_window": 9}, "bptt_window must be at least bptt, got 9 with bptt=64"),
    ({"momentum": 0.5}, "momentum has no effect with optimizer=adam; it needs optimizer=sgd or rmsprop"),
    ({"decay_after": 9}, "decay_after has no effect with schedule=constant; it needs schedule=step"),
    (
        {"min_learning_rate": 1.0, "schedule": "cosine"},
        "min_learning_rate must be at most learning_rate, 0.002, got 1.0",
    ),
    (
        {"tie_weights": True, "embedding": "one-hot"},
        "tie_weights needs embedding=learned: a one-hot input has no matrix to share",
    ),
    (
        {"embedding_dim": 8, "embedding": "one-hot"},
        "embedding_dim has no effect with embedding=one-hot; leave it out",
    ),
]


@pytest.mark.parametrize(("values", "message"), WRONG)
def test_wrong_options(values, message):
    with pytest.raises(ConfigError) as caught:
        LMConfig.make(**values)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["n", "temperature", "top_k", "top_p", "seed"])
def test_greedy_leaves_nothing_to_choose(name):
    value = 0.5 if name in ("temperature", "top_p") else 3
    with pytest.raises(ConfigError, match=f"{name} has no effect with greedy"):
        GenerationOptions.make(greedy=True, **{name: value})


WRONG_FILES = [
    (b"hiden_size: 3\n", "{file}: unknown option 'hiden_size'; did you mean 'hidden_size'?"),
    (b"- hidden_size\n", "{file}: expected lines of the form `hidden_size: 256`, got a list"),
    (b"", "{file}: expected lines of the form `hidden_size: 256`, got None"),
    (b"3: 4\n", "{file}: expected lines of the form `hidden_size: 256`, got {{3: 4}}"),
    (b"cell: gru\nsizes: [1, 2\n", "{file}:3: not YAML (expected ',' or ']', but got '<stream end>')"),
    (b"cell: \xff\n", "{file}: not UTF-8 at byte 6; give a YAML file of options"),
    (b"cell: \x00\n", "{file}: not YAML (it has the character '\\x00')"),
    (b"format_version: 99\n", "{file}: format_version 99, this recurra reads 1; update recurra"),
    (b"!!python/object/apply:os.getcwd []\n", "{file}:1: not YAML (could not determine a constructor"),
]


@pytest.mark.parametrize(("content", "message"), WRONG_FILES)
def test_wrong_files(content, message, tmp_path):
    file = tmp_path / "options.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        LMConfig.from_yaml(file)
    assert str(caught.value).startswith(message.format(file=file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["missing.yaml", "."])
def test_files_that_cannot_be_read(place, tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        LMConfig.from_yaml(tmp_path / place)


def test_options_are_there_without_torch():
    code = "import sys, recurra, recurra.config, recurra.tasks.lm; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
