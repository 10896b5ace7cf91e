"""Whatever a hurried user gives: one line that says what came and what to do, exit code 2, and nothing lost or left.

Through the real command with real, tiny models.
"""

from __future__ import annotations

import gzip
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import yaml
from stories import story, train

import recurra
from recurra.cli.main import main
from recurra.errors import ConfigError, DataError, FolderError, TrainingError
from recurra.tasks.lm.run import LanguageModelRun
from recurra.training.memory import enough_memory
from recurra.training.run_folder import RunFolder, locked

SMALL = "--hidden-size 8 --num-layers 1 --batch-size 4 --bptt 8 --max-steps 3"
TEXT = story(100)


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    def run(words: str) -> Result:
        capsys.readouterr()
        return Result(main(shlex.split(words)), *capsys.readouterr())

    return run


def refused(result: Result, message: str) -> None:
    assert result.code == 2
    assert re.fullmatch(f"recurra: {message}\n", result.err), result.err


@pytest.fixture(scope="module")
def bpe(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> LanguageModelRun:
    return train(corpus, tmp_path_factory.mktemp("runs") / "bpe", unit="bpe", vocabulary_size=300, max_steps=20)


@pytest.fixture(scope="module")
def backward(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> LanguageModelRun:
    return train(corpus, tmp_path_factory.mktemp("runs") / "backward", direction="backward", max_steps=20)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with every kind of bad file, and the working directory."""
    zipped = gzip.compress(TEXT.encode(), mtime=0)
    files = {
        "good.txt": TEXT.encode(),
        "empty.txt": b"",
        "one.txt": b"a",
        "two.txt": b"ab",
        "short.txt": b"short text\nof two lines\n",
        "latin1.txt": TEXT.encode() + b"\xe9t\xe9\n",
        "blank.txt": b"\n \n\r\n",
        "cut.gz": zipped[:300],
        "damaged.gz": zipped[:200] + b"xxxxxxxx" + zipped[208:],
        "theirs/letter.txt": b"Dear Sir\n",
        "two_trains/train.a.txt": TEXT.encode(),
        "two_trains/train.b.txt": TEXT.encode(),
        "options/wrong_type.yaml": b"hidden_size: 2.5\n",
        "options/unknown.yaml": b"hiden_size: 8\n",
        "options/later.yaml": b"format_version: 9\n",
        "options/list.yaml": b"- a\n",
        "options/broken.yaml": b"a: [\n",
        "options/code.yaml": b"!!python/object/apply:os.abort []\n",
        "options/other_task.yaml": b"task: tagger\n",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


LATIN = r"expected UTF-8 text, got byte 0xe9 at byte offset \d+; convert the file first, e.g. iconv -f latin1 -t utf-8"
TEXTS = [
    ("missing.txt", r".*/missing.txt: expected a text file or a folder, got no such path; .*"),
    ("god.txt", r".*/god.txt: expected .*, got no such path; did you mean .*/good.txt\?"),
    ("empty.txt", r".*/empty.txt: expected a text, got 0 characters; give a longer text"),
    ("one.txt", r".*/one.txt: expected a text, got 1 characters; give a longer text"),
    ("two.txt", r".*/two.txt: expected a text long enough to cut .*, got 2 bytes; give a longer text, .*"),
    (
        "short.txt",
        r"training text: expected at least 33 tokens .*, got \d+; give more text, or lower batch_size or bptt",
    ),
    ("folder", r".*/folder: expected a file train\*.txt or train\*.txt.gz in the folder, got nothing; .*"),
    ("two_trains", r".*/two_trains: expected one train file, got train.a.txt, train.b.txt; leave one, .*"),
    ("/dev/null", r"/dev/null: expected a text file, got a pipe or device; give a file"),
    ("latin1.txt", rf".*/latin1.txt: {LATIN}"),
    ("cut.gz", r".*/cut.gz: expected whole gzip, got a damaged file \(.*\); fetch it again"),
    ("damaged.gz", r".*/damaged.gz: expected whole gzip, got a damaged file \(.*\); fetch it again"),
    ("'s\udcff.txt'", r"data: must be Unicode text, got 's\\udcff.txt'; give it as UTF-8"),
    ("", r"no data; give a text file, as in `recurra train lm DATA`"),
]


@pytest.mark.parametrize(("text", "message"), TEXTS)
def test_texts_that_cannot_be_trained_on(text: str, message: str, place: Path, command: Callable[..., Result]) -> None:
    before = sorted(place.rglob("*"))
    result = command(f"train lm {text} {SMALL} --output-dir run")
    refused(result, message)
    assert result.out == ""
    assert sorted(place.rglob("*")) == before


OPTIONS = [
    ("--cell lsmt", r"unknown cell 'lsmt'; did you mean 'lstm'\?"),
    ("--cell ''", r"unknown cell ''; known are rnn, .*"),
    ("--cell 'l\udcff'", r"cell: must be Unicode text, got 'l\\udcff'; give it as UTF-8"),
    ("--cell-options peephole=5", r"cell 'lstm', option 'peephole': expected bool \(default False\), got 5"),
    ("--cell-options peep=true", r"cell 'lstm' has no option 'peep'; it has: peephole, .*"),
    ("--cell gru --cell-options peephole=true", r"cell 'gru' has no option 'peephole'; it has: .*"),
    ("--cell-options projection=1 projection=2", r"cell_options.projection: given twice; leave one of them out"),
    ("--cell gru --forget-bias 1", r"forget_bias: cell 'gru' has no forget gate; leave it out"),
    ("--hiden-size 3", r"unknown option '--hiden-size'; did you mean '--hidden-size'\?"),
    ("--dropout 1", r"dropout: must be less than 1, got 1.0"),
    ("--learning-rate -1", r"learning_rate: must be greater than 0, got -1.0"),
    ("--learning-rate nan", r"learning_rate: must be a finite number, got nan"),
    ("--epochs -1", r"epochs: must be greater than or equal to 1, got -1"),
    ("--epochs 1e3", r'invalid value for --epochs: unable to convert "1e3" into int.'),
    ("--threads 100000", r"threads: must be less than or equal to 1024, got 100000"),
    ("--embedding-dim 99999999999999", r"embedding_dim: must be less than or equal to 1048576, got 99999999999999"),
    ("--device meta", r"device='meta': expected a device of this machine, as cpu or cuda \(.*\)"),
    ("--device gpu", r"device='gpu': expected a device of this machine, as cpu or cuda \(.*\)"),
    ("--device cuda:77", r"device='cuda:77': expected a device of this machine, as cpu or cuda \(.*\)"),
    ("--backend nativ", r"unknown backend 'nativ'; .*"),
    ("--lowercase", r"lowercase has no effect with unit=char; it needs unit=word"),
    ("--unit bpe --lowercase", r"lowercase has no effect with unit=bpe; it needs unit=word"),
    ("--unit bpe --vocabulary-size 9", r"vocabulary_size: expected at least 256 for unit=bpe, got 9; raise it"),
    ("--min-count 99999", r"expected characters seen min_count=99999 times, got none; .*"),
    ("--mode sentences", r"bptt has no effect with mode=sentences; it needs mode=stream"),
    ("--window 3", r"window has no effect with mode=stream; it needs mode=sentences"),
    ("--momentum 0.9", r"momentum has no effect with optimizer=adam; it needs optimizer=sgd or rmsprop"),
    ("--sizes 8 8", r"sizes gives the units of each layer; leave out hidden_size and num_layers"),
    ("--tie-weights --embedding one-hot", r"tie_weights needs embedding=learned: .*"),
    ("--tie-weights --embedding-dim 5", r"tie_weights: expected an embedding as wide as .*, 8, got 5; .*"),
    ("--valid-frac 0", r"valid_frac=0: training needs a validation text .*; give --valid FILE"),
    ("--valid nope.txt", r".*/nope.txt: expected a text file or a folder, got no such path; .*"),
    ("--valid latin1.txt", rf".*/latin1.txt: {LATIN}"),
    ("--test latin1.txt", rf".*/latin1.txt: {LATIN}"),
    ("--test folder", r".*/folder: expected a text file, got a folder; give a file"),
    ("--seed 3 --seed 4", r"parameter --seed specified multiple times."),
    ("--config nope.yaml", r"nope.yaml: cannot be read \(No such file or directory\); give a YAML file of options"),
    ("--config folder", r"folder: cannot be read \(Is a directory\); give a YAML file of options"),
    ("--config latin1.txt", r"latin1.txt: not UTF-8 at byte \d+; give a YAML file of options"),
    ("--config options/unknown.yaml", r"options/unknown.yaml: unknown option 'hiden_size'; did you mean .*\?"),
    ("--config options/later.yaml", r"options/later.yaml: format_version 9, this recurra reads 1; update recurra"),
    ("--config options/list.yaml", r"options/list.yaml: expected lines of the form `hidden_size: 256`, got a list"),
    ("--config options/broken.yaml", r"options/broken.yaml:2: not YAML \(.*\)"),
    ("--config options/code.yaml", r"options/code.yaml:1: not YAML \(.*\)"),
    ("--config options/other_task.yaml", r"options/other_task.yaml: options of task 'tagger', expected those of 'lm'"),
    ("--init-from nope", r"nope: expected a run folder, found nothing; give a folder that recurra made"),
    ("--init-from theirs", r"theirs: expected a run folder, found a folder without config.yaml; .*"),
    ("--init-from {words} --output-dir {words} --overwrite", r".*/word: is the model to start from; give another .*"),
    ("--init-from {words} --unit char", r"unit=char: the model in .* has unit=word; leave it out"),
    ("--output-dir theirs", r".*/theirs: holds files that are no run of recurra; give another --output-dir"),
    (
        "--output-dir theirs --overwrite",
        r".*/theirs: holds files that are no run of recurra; give another --output-dir",
    ),
    ("--output-dir good.txt --overwrite", r".*/good.txt: is a file; give another --output-dir"),
    ("--output-dir good.txt/run", r".*/good.txt/run: run folder cannot be made \(Not a directory\); .*"),
    ("--output-dir 'r\udcff'", r"output_dir: must be Unicode text, got 'r\\udcff'; give it as UTF-8"),
    ("--output-dir {words}", r".*/word: exists; continue it with --resume .*, replace it with --overwrite, or .*"),
]


@pytest.mark.parametrize(("options", "message"), OPTIONS)
def test_options_that_cannot_be(
    options: str, message: str, place: Path, command: Callable[..., Result], words: LanguageModelRun
) -> None:
    before = sorted(place.rglob("*"))
    output = "" if "--output-dir" in options else "--output-dir run"
    taken = [*re.findall("--[a-z-]+", options), *(["--hidden-size"] if "--init-from" in options else [])]
    small = " ".join(part for part in re.findall(r"--\S+ \S+", SMALL) if part.split()[0] not in taken)
    small = "" if "--init-from" in options else small
    refused(command(f"train lm good.txt {small} {options.format(words=words.folder)} {output}"), message)
    assert sorted(place.rglob("*")) == before


def test_a_wrong_value_in_a_file_names_the_file(place: Path, command: Callable[..., Result]) -> None:
    wrong = "train lm good.txt --config options/wrong_type.yaml"
    refused(command(wrong), "options/wrong_type.yaml: hidden_size: must be a valid integer, got 2.5")
    refused(command(f"{wrong} --hidden-size 0"), "hidden_size: must be greater than or equal to 1, got 0")


ON_MODELS = [
    ("evaluate {char} empty.txt", r"empty.txt: expected a text, got 0 characters; give a longer text"),
    ("evaluate {char} missing.txt", r"missing.txt: expected .*, got no such path; .*"),
    ("evaluate {char} folder", r"folder: expected a text file, got a folder; give a file"),
    ("evaluate {char} latin1.txt", rf"latin1.txt: {LATIN}"),
    ("evaluate {char} cut.gz", r"cut.gz: expected whole gzip, got a damaged file \(.*\); fetch it again"),
    ("evaluate {char} --batch-size 99999999999", r'invalid value "99999999999" for --batch-size. Must be <= .*'),
    ("evaluate {char} --device gpu", r"device='gpu': expected a device of this machine, .*"),
    ("evaluate nope", r"nope: expected a run folder, found nothing; give a folder that recurra made"),
    ("evaluate good.txt", r"good.txt: expected a run folder, found a file; give a folder that recurra made"),
    ("evaluate theirs", r"theirs: expected a run folder, found a folder without config.yaml; .*"),
    ("generate {char} 你好", r"prompt: expected text that the model knows, got '你好', of which nothing is known; .*"),
    ("generate {words} 你好", r"prompt: expected text that the model knows, got '你好', of which nothing is known; .*"),
    ("generate {char} \udcff", r"expected Unicode text, got '\\udcff' at character 0; give it as UTF-8"),
    ("generate {char} --stop \udcff", r"stop: must be Unicode text, got '\\udcff'; give it as UTF-8"),
    ("generate {char} --stop ''", r"stop: must have at least 1 character, got ''"),
    ("generate {char} --temperature 0", r"temperature: must be greater than 0, got 0.0"),
    ("generate {char} --length 99999999999", r"length: must be less than or equal to 2147483647, got 99999999999"),
    ("generate {char} a b", r"unexpected argument 'b'; see `recurra generate --help`"),
    ("generate {char} -- a --length 3", r"unexpected argument '--length'; see `recurra generate --help`"),
    ("generate {backward} a --stop b", r"stop has no meaning for a backward model, .*; leave it out"),
    ("complete {char} 你好", r"prompt: expected text that the model knows, got '你好', of which nothing is known; .*"),
    ("complete {words} 你好", r"prompt: expected the beginning of a word that the model knows, got '你好'; .*"),
    ("complete {bpe} \udcff", r"expected Unicode text, got '\\udcff' at character 0; give it as UTF-8"),
    ("complete {backward} On", r".*/backward: predicts backward, so it knows no next word; use score or generate"),
    ("score {char} \udcff", r"expected Unicode text, got '\\udcff' at character 0; give it as UTF-8"),
    ("score {char} --file latin1.txt", rf"latin1.txt: {LATIN}"),
    ("score {char} --file missing.txt", r"missing.txt: cannot be read \(No such file or directory\); .*"),
    ("score {char} --file folder", r"folder: cannot be read \(Is a directory\); check path and rights"),
    ("score {char} --file cut.gz", r"cut.gz: expected whole gzip, got a damaged file \(.*\); fetch it again"),
    ("score {char} --file blank.txt", r"no sentences; give some, or --file F with one per line \(- is stdin\)"),
    ("train lm --resume theirs", r"theirs: expected a run folder, found a folder without config.yaml; .*"),
    ("train lm --resume {char} --epochs 9", r"--resume continues with the options saved in .*; leave out --epochs, .*"),
    ("train lm good.txt --resume {char}", r"good.txt: .* has its data already, in data; leave it out"),
    ("summary --vocabulary 9999999999", r'invalid value "9999999999" for --vocabulary. Must be <= .*'),
    ("summary --vocabulary 9 --num-layers 9999", r"num_layers: must be less than or equal to 200, got 9999"),
]


@pytest.mark.parametrize(("words_given", "message"), ON_MODELS)
def test_what_trained_models_refuse(
    words_given: str,
    message: str,
    place: Path,
    command: Callable[..., Result],
    characters: LanguageModelRun,
    words: LanguageModelRun,
    bpe: LanguageModelRun,
    backward: LanguageModelRun,
) -> None:
    folders = {"char": characters.folder, "words": words.folder, "bpe": bpe.folder, "backward": backward.folder}
    result = command(words_given.format(**folders))
    refused(result, message)
    assert result.out == ""


@pytest.mark.parametrize("text", ["你好，世界。\n" * 200, "a\r\nb\0c\u0301\U0001f600\r\n" * 100, "x" * 5000])
@pytest.mark.parametrize("unit", ["char", "word", "byte", "bpe"])
def test_odd_texts_are_texts(text: str, unit: str, place: Path, command: Callable[..., Result]) -> None:
    """Chinese, CRLF and NUL, one endless line."""
    if unit in ("word", "bpe") and text.startswith("x"):
        pytest.skip("one word is no text")
    (place / "odd.txt").write_bytes(text.encode())
    options = f"--unit {unit} {SMALL}" + (" --vocabulary-size 300" if unit == "bpe" else "")
    assert command(f"train lm odd.txt {options} --output-dir run").err == ""
    assert command("evaluate run odd.txt").err == ""
    assert command(f"generate run '{text[:2]}' --length 5").code == 0


def damage(file: Path, how: str) -> None:
    whole = file.read_bytes() if file.is_file() else b""
    half = whole[: whole.rfind(b"\n", 0, len(whole) // 2) + 1] or whole[: len(whole) // 2]  # at a line end, if any
    shutil.rmtree(file) if file.is_dir() else file.unlink()
    content = {"truncated": half, "foreign": b'{"a": 1}', "empty": b"", "other": b"\xff" * len(whole)}
    if how == "folder":
        file.mkdir()
    elif how != "missing":
        file.write_bytes(content[how])


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with two checkpoints; the newer one has the best model."""
    place = tmp_path_factory.mktemp("original")
    (place / "good.txt").write_text(TEXT)
    words = f"train lm {place}/good.txt {SMALL.replace('3', '4')} --eval-every 2 --output-dir {place}/run"
    assert main(words.split()) == 0
    return place / "run"


@pytest.fixture
def run(original: Path, place: Path) -> Path:
    """A copy, in which the checkpoint's best model is the folder's model, as in the original."""
    shutil.copytree(original, place / "run")
    best = place / "run/checkpoints/step-00000004/best.safetensors"
    best.unlink()
    best.hardlink_to(place / "run/model.safetensors")
    return place / "run"


RUN_FILES = [
    ("config.yaml", "missing", "evaluate", r".*run: expected a run folder, found a folder without config.yaml; .*"),
    ("config.yaml", "empty", "evaluate", r".*run: not a run folder \(.*run/config.yaml: expected lines .*\); .*"),
    ("tokenizer.json", "truncated", "evaluate", r".*run/tokenizer.json: .*truncated.*"),
    ("model.safetensors", "truncated", "evaluate", r".*run/model.safetensors: truncated or not a safetensors .*"),
    ("data/counts.json", "truncated", "resume", r".*run/data: damaged \(.*\); delete this folder, and .*"),
    ("data/test.tokens", "truncated", "evaluate", r".*run/data: damaged \(test.tokens has .* tokens\); .*"),
    ("config.yaml", "truncated", "resume", r".*run/config.yaml: cut short, it does not end in .*"),
    (
        "config.yaml",
        "truncated",
        "evaluate",
        r".*run/config.yaml: cut short, it does not end in `...`; take it from .*",
    ),
    ("config.yaml", "foreign", "resume", r".*run: not a run folder \(.*run/config.yaml: unknown option 'a'.*\); .*"),
    ("config.yaml", "other", "init", r".*run: not a run folder \(.*run/config.yaml: not UTF-8 at byte 0; .*\); .*"),
    ("config.yaml", "folder", "evaluate", r".*run: expected a run folder, found a folder without config.yaml; .*"),
    ("tokenizer.json", "missing", "evaluate", r".*run/tokenizer.json: cannot be read .*; give a model folder"),
    ("tokenizer.json", "empty", "resume", r".*run/tokenizer.json: expected JSON, got a truncated .*; restore it"),
    (
        "tokenizer.json",
        "foreign",
        "init",
        r".*run/tokenizer.json: expected a tokenizer of recurra, got foreign JSON; .*",
    ),
    ("tokenizer.json", "folder", "evaluate", r".*run/tokenizer.json: cannot be read .*; give a model folder"),
    ("model.safetensors", "missing", "evaluate", r".*run: has no model.safetensors yet; train on with --resume run"),
    ("model.safetensors", "missing", "init", r"run: has no model.safetensors yet; train on with --resume run"),
    ("model.safetensors", "empty", "evaluate", r".*run/model.safetensors: truncated or not a safetensors file \(.*\)"),
    ("model.safetensors", "other", "init", r".*run/model.safetensors: truncated or not a safetensors file \(.*\)"),
    ("data/counts.json", "foreign", "resume", r".*run/data: damaged \(.*\); delete this folder, and .*"),
    ("data/counts.json", "empty", "evaluate", r".*run/data: damaged \(.*\); delete this folder, and .*"),
    ("data/train.tokens", "missing", "resume", r".*run/data: damaged \(.*\); delete this folder, and .*"),
    ("data/test.tokens", "empty", "evaluate", r".*run/data: damaged \(.*\); delete this folder, and .*"),
    ("data/test.tokens", "foreign", "evaluate", r".*run/data: damaged \(test.tokens has 8 tokens\); .*"),
    ("data/test.tokens", "other", "evaluate", r".*run/data: damaged \(test.tokens has unknown tokens\); .*"),
    ("data/train.tokens", "other", "resume", r".*run/data: damaged \(train.tokens has unknown tokens\); .*"),
    ("checkpoints", "missing", "resume", r".*run: has a trained model but no checkpoint to go on from; .*"),
    ("metrics.json", "folder", "resume", r".*run/metrics.json: cannot be written \(Is a directory\); .*"),
]
VERBS = {
    "evaluate": "evaluate run",
    "resume": "train lm --resume run",
    "init": "train lm good.txt --init-from run --max-steps 1 --output-dir other --overwrite",
}


@pytest.mark.parametrize(("name", "how", "verb", "message"), RUN_FILES)
def test_damaged_run_folders(
    name: str, how: str, verb: str, message: str, run: Path, command: Callable[..., Result]
) -> None:
    other = run.with_name("other")
    shutil.copytree(run, other)
    model = (run / "model.safetensors").read_bytes()
    damage(run / name, how)
    refused(command(VERBS[verb]), message)
    assert (other / "model.safetensors").read_bytes() == model  # not replaced by what cannot be made
    if name != "model.safetensors":
        assert (run / "model.safetensors").read_bytes() == model


@pytest.mark.parametrize("how", ["missing", "empty", "truncated", "foreign", "other"])
@pytest.mark.parametrize("name", ["state.json", "tensors.safetensors", "best.safetensors"])
def test_a_damaged_checkpoint_is_passed_over(name: str, how: str, run: Path, command: Callable[..., Result]) -> None:
    model = (run / "model.safetensors").read_bytes()
    damage(run / "checkpoints/step-00000004" / name, how)
    result = command("train lm --resume run")
    assert (result.code, result.err) == (0, "")
    assert f"passed over a damaged checkpoint: {run}/checkpoints/step-00000004/" in result.out
    assert (run / "model.safetensors").read_bytes() == model


def test_no_checkpoint_is_left(run: Path, command: Callable[..., Result]) -> None:
    for checkpoint in (run / "checkpoints").iterdir():
        damage(checkpoint / "state.json", "empty")
    refused(
        command("train lm --resume run"), r".*/state.json: truncated or not JSON; no other checkpoint is intact: .*"
    )


def test_resume_of_a_finished_run_changes_nothing(run: Path, command: Callable[..., Result]) -> None:
    names = ("model.safetensors", "metrics.json", "metrics.jsonl", "config.yaml")
    before = [(run / name).read_bytes() for name in names]
    assert command("train lm --resume run").code == 0
    assert [(run / name).read_bytes() for name in names] == before


def test_the_model_file_is_for_all_whom_the_umask_allows(run: Path) -> None:
    assert (run / "model.safetensors").stat().st_mode == (run / "config.yaml").stat().st_mode


def test_nothing_is_overwritten_by_a_saved_overwrite(run: Path, command: Callable[..., Result]) -> None:
    assert command(f"train lm good.txt {SMALL} --output-dir run --overwrite").code == 0
    assert not yaml.safe_load((run / "config.yaml").read_text())["overwrite"]
    refused(command("train lm --config run/config.yaml"), r".*/run: exists; .*")


def test_overwriting_leaves_other_files_alone(run: Path, command: Callable[..., Result]) -> None:
    (run / "notes.txt").write_text("mine")
    assert command(f"train lm good.txt {SMALL} --output-dir run --overwrite").code == 0
    assert (run / "notes.txt").read_text() == "mine"


def test_one_process_at_a_time(run: Path, command: Callable[..., Result]) -> None:
    busy = r"another process is training here; wait for it or give another --output-dir"
    with RunFolder(run).locked():
        refused(command("train lm --resume run"), f"{run}: {busy}")
        refused(command(f"train lm good.txt {SMALL} --output-dir run --overwrite"), f".*/run: {busy}")
    aside = run.with_name(".new.writing")
    aside.mkdir()
    with locked(aside, aside):
        refused(command(f"train lm good.txt {SMALL} --output-dir new"), f".*/new: {busy}")
    assert command(f"train lm good.txt {SMALL} --output-dir new").code == 0
    assert not aside.exists()


def test_a_learning_rate_that_is_too_high(place: Path, command: Callable[..., Result]) -> None:
    result = command(f"train lm good.txt {SMALL} --learning-rate 1e30 --output-dir run")
    refused(result, r"the loss explodes: .* lower --learning-rate \(now 1e\+30\) or .*; the last good checkpoint is .*")


def test_a_memory_that_is_too_small() -> None:
    with (
        pytest.raises(TrainingError, match=r"^cpu: out of memory; lower it$"),
        enough_memory("cpu", "lower it"),
    ):
        torch.empty(1 << 62, dtype=torch.uint8)  # no machine addresses so much
    with pytest.raises(RuntimeError, match="another"), enough_memory("cpu", "lower it"):
        raise RuntimeError("another")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(place: Path, command: Callable[..., Result]) -> None:
    (place / "good.txt").chmod(0)
    refused(command(f"train lm good.txt {SMALL}"), r".*/good.txt: cannot be read \(Permission denied\); .*")


def test_the_python_interface_says_the_same(place: Path) -> None:
    with pytest.raises(DataError, match=r"expected a text, got 0 characters; give a longer text$"):
        recurra.train("lm", "empty.txt", output_dir="run")
    with pytest.raises(ConfigError, match=r"^unknown option 'hiden_size'; did you mean 'hidden_size'\?$"):
        recurra.train("lm", "good.txt", hiden_size=3)
    with pytest.raises(ConfigError, match=r"^unknown task 'ml'; known: lm, classify, tag, forecast$"):
        recurra.train("ml", "good.txt")
    with pytest.raises(ConfigError, match=r"^no data; "):
        recurra.train("lm")
    with pytest.raises(ConfigError, match=r"^resume continues with the data and options of that run; "):
        recurra.train("lm", "good.txt", resume="run")
    for folder in ("nope", "theirs", "good.txt"):
        with pytest.raises(FolderError, match=rf"^{folder}: expected a run folder, found .*; give a folder"):
            recurra.load(folder)
        with pytest.raises(FolderError, match=rf"^{folder}: expected a run folder, found .*; give a folder"):
            recurra.train("lm", resume=folder)
    with pytest.raises(ConfigError, match=r"^score: expected a list of sentences, got one str"):
        recurra.train("lm", "good.txt", output_dir="run", max_steps=1, batch_size=2, on_event=lambda event: None).score(
            "On day"  # type: ignore[arg-type]
        )


COMMAND = [sys.executable, "-m", "recurra.cli.main"]
LONG = "train lm good.txt --hidden-size 16 --num-layers 1 --batch-size 4 --bptt 8 --threads 1 --output-dir run"


def test_a_full_disk_spares_the_last_checkpoint(place: Path, command: Callable[..., Result]) -> None:
    """No file may be larger than the first checkpoint, as on a disk that is full."""
    words = f"{LONG} --max-steps 40 --save-every 10"
    assert command(words.replace("run", "whole")).code == 0
    sizes = [file.stat().st_size for file in place.glob("whole/checkpoints/*/tensors.safetensors")]
    limit = (max(sizes) // 2, max(sizes) // 2)  # Adam's first checkpoint has no moments: a third of the later ones
    result = subprocess.run(
        [*COMMAND, *words.split()],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )
    assert result.returncode == 2
    assert result.stderr == (
        f"recurra: {place}/run/checkpoints/step-00000010: checkpoint cannot be written (File too large (os error 27)); "
        "step-00000000 is intact: make room, then continue with --resume\n"
    )
    assert command("train lm --resume run").code == 0
    for name in ("model.safetensors", "metrics.json"):
        assert (place / "run" / name).read_bytes() == (place / "whole" / name).read_bytes()


def test_ctrl_c_saves_and_evaluates(place: Path, command: Callable[..., Result]) -> None:
    words = f"{LONG} --epochs 500 --log-every 5"
    with subprocess.Popen([*COMMAND, *words.split()], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        shown = [next(line for line in process.stdout if line.startswith("step 5 "))]
        process.send_signal(signal.SIGINT)
        shown += process.stdout.readlines()
    assert process.returncode == 130
    assert f"stopped: SIGINT; continue with --resume {place}/run\n" in shown
    assert any(line.startswith("evaluated at step") for line in shown)
    assert command("evaluate run").code == 0


def test_sigterm_leaves_no_files_behind(place: Path, characters: LanguageModelRun) -> None:
    (place / "large.txt").write_text(TEXT * 300)
    (place / "tmp").mkdir()
    words = [*COMMAND, "evaluate", str(characters.folder), "large.txt"]
    environment = os.environ | {"TMPDIR": str(place / "tmp")}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        until = time.monotonic() + 60
        while not list((place / "tmp").glob("recurra-*")) and time.monotonic() < until:
            time.sleep(0.01)
        process.terminate()
        assert process.communicate() == (b"", b"")
    assert process.returncode == 128 + signal.SIGTERM
    assert not list((place / "tmp").glob("recurra-*"))
    assert tempfile.gettempdir() != str(place / "tmp")
