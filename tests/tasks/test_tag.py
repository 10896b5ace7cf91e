"""Tagging from a file to predictions, on made-up text whose rules a tagger must learn."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tagged import SMALL, conll, train

import recurra
from recurra.cli.main import main
from recurra.data.conll import read_conll
from recurra.errors import ConfigError, DataError, FolderError
from recurra.metrics.spans import find_spans
from recurra.tasks.tag.options import TagPrediction
from recurra.tasks.tag.run import TagRun


@pytest.fixture(scope="module")
def spans(tmp_path_factory: pytest.TempPathFactory) -> TagRun:
    return train(tmp_path_factory.mktemp("spans"))


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[[str], tuple[int, str, str]]:
    def run(words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        return main(shlex.split(words)), *capsys.readouterr()

    return run


def test_it_learns_spans(spans: TagRun) -> None:
    assert spans.model.crf is not None
    metrics = spans.evaluate()
    assert metrics["span_f1"] > 0.98
    assert metrics["accuracy"] > 0.98
    assert json.loads((spans.folder / "metrics.json").read_text())["test"] == pytest.approx(metrics)


def test_evaluation_of_a_file_is_that_of_the_test_part(spans: TagRun) -> None:
    file = spans.folder.parent / "data" / "test.conll"
    assert spans.evaluate(file, batch_size=3) == pytest.approx(spans.evaluate())
    assert spans.evaluate()["tokens"] == len(read_conll(file).lines)


LEARNED: dict[str, dict[str, Any]] = {
    "softmax": {"output_layer": "softmax", "monitor": "accuracy"},
    "characters alone": {"vocabulary_size": 1, "char_features": "lstm", "word_dropout": 0.0, "epochs": 8},
    "words alone": {"char_features": "none", "char_size": 64, "shape_features": False, "lowercase": True},
    "another scheme": {"scheme": "bioes"},
    "another cell, two layers, float64": {"cell": "gru", "num_layers": 2, "dtype": "float64"},
}


@pytest.mark.parametrize("name", LEARNED)
def test_every_kind_of_tagger_learns(name: str, tmp_path: Path) -> None:
    run = train(tmp_path, **LEARNED[name])
    assert run.evaluate()["span_f1"] > 0.93, name


def test_forward_alone_does_not_see_what_follows(tmp_path: Path) -> None:
    """The first word's tag is that of the next word: only a tagger that reads backward too can know it."""
    text = "".join(f"same\t{tag}\n{tag.lower()}\tX\n\n" for tag in "AABAB" * 40)
    (tmp_path / "t.conll").write_text(text, encoding="utf-8")
    accuracy = {
        both: recurra.train("tag", tmp_path / "t.conll", bidirectional=both, output_layer="softmax",
                            output_dir=tmp_path / str(both), **SMALL).evaluate()["accuracy"]
        for both in (True, False)
    }  # fmt: skip
    assert accuracy[True] == 1 > accuracy[False]


def test_parts_of_speech(tmp_path: Path, command: Callable[..., Any]) -> None:
    """CoNLL-U by name, gzip, parts cut from one file."""
    tags = {"cat": "NOUN", "hill": "NOUN", "sees": "VERB", "runs": "VERB", "the": "DET", "a": "DET", "3": "NUM"}
    words = list(tags)
    rows = [[words[(n * k + k) % 7] for k in range(1, 6)] for n in range(300)]
    text = "".join(
        "# a comment\n" + "".join(f"{i}\t{w}\t_\t{tags[w]}\t_\t_\t_\t_\t_\t_\n" for i, w in enumerate(row, 1)) + "\n"
        for row in rows
    )
    (tmp_path / "t.conllu.gz").write_bytes(gzip.compress(text.encode()))
    flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in SMALL.items() if name != "on_event")
    code, out, err = command(
        f"train tag {tmp_path / 't.conllu.gz'} --column upos --output-dir {tmp_path / 'r'} {flags}"
    )
    assert (code, err) == (0, "")
    assert "4 (" in out
    run = recurra.load(tmp_path / "r")
    assert run.model.crf is None
    assert run.evaluate()["accuracy"] > 0.95
    assert [len(run.predict([["a", "cat"]])[0][name]) for name in ("tags", "confidence")] == [2, 2]
    assert "spans" not in run.predict([["a", "cat"]])[0]


def test_predictions_of_words(spans: TagRun) -> None:
    (record,) = spans.predict([["Anna", "Baker", "sees", "Rome"]], k_best=3)
    assert record["tags"] == ["B-PER", "I-PER", "O", "B-LOC"]
    assert [(one["text"], one["type"], one["tokens"], one["characters"]) for one in record["spans"]] == [
        ("Anna Baker", "PER", [0, 2], [0, 10]),
        ("Rome", "LOC", [3, 4], [16, 20]),
    ]
    probabilities = [one["probability"] for one in record["k_best"]]
    assert record["k_best"][0]["tags"] == record["tags"]
    assert sorted(probabilities, reverse=True) == probabilities
    assert sum(probabilities) <= 1
    assert probabilities[0] <= min(record["confidence"])  # of all tags together, and of each


@pytest.mark.parametrize(("sentences", "message"), [
    ([[]], "predict: expected words, got an empty sentence or word; leave it out"),
    ([["a", ""]], "predict: expected words, got an empty sentence or word; leave it out"),
    (["a text"], "predict: expected a list of words, got 'a text'; split it"),
    ([5], "predict: expected a list of words, got 5; split it"),
    ([None], "predict: expected a list of words, got None; split it"),
    ([["a"], ["b", 5]], "predict: expected words, got 5; give a list of str"),
])  # fmt: skip
def test_what_cannot_be_predicted(sentences: Any, message: str, spans: TagRun) -> None:
    with pytest.raises((DataError, ConfigError), match=f"^{message}$"):
        spans.predict(sentences)


@pytest.mark.parametrize("k_best", [0, -1, True])
def test_too_few_sequences(k_best: int, spans: TagRun) -> None:
    with pytest.raises(ConfigError, match=r"^k_best: must "):
        spans.predict([["a"]], k_best=k_best)


def test_raw_text_as_jsonl(spans: TagRun, tmp_path: Path, command: Callable[..., Any]) -> None:
    lines = ["the cat sees Anna Miller . Bert Smith runs over the hill .", "", "Rome"]
    (tmp_path / "t.txt").write_text("\n".join(lines), encoding="utf-8")
    code, out, _ = command(f"predict {spans.folder} {tmp_path / 't.txt'} --format jsonl --k-best 2")
    records = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(one["line"], one["text"]) for one in records] == [
        (1, "the cat sees Anna Miller ."), (1, "Bert Smith runs over the hill ."), (3, "Rome"),
    ]  # fmt: skip
    for one in records:
        assert lines[one["line"] - 1][one["start"] :].startswith(one["text"])
        for span in one["spans"]:
            first, stop = span["characters"]
            assert one["text"][first:stop] == span["text"]
        assert len(one["k_best"]) == 2
    assert [[span["text"] for span in one["spans"]] for one in records] == [["Anna Miller"], ["Bert Smith"], ["Rome"]]


def test_conll_in_and_out(spans: TagRun, command: Callable[..., Any], tmp_path: Path) -> None:
    """Words of more sentences than are read together, in order; the tags can be read again."""
    file = spans.folder.parent / "data" / "train.conll"
    many = tmp_path / "many.conll"
    many.write_text("\n".join([file.read_text()] * 4), encoding="utf-8")
    code, out, err = command(f"predict {spans.folder} {many} --output {tmp_path / 'out.conll'}")
    assert (code, out, err) == (0, "", "")
    given, found = read_conll(many), read_conll(tmp_path / "out.conll", "2")
    assert found.words[slice(None)] == given.words[slice(None)]
    assert found.lengths.tolist() == given.lengths.tolist()
    assert given.tags is not None
    assert found.tags is not None
    right = sum(a == b for a, b in zip(given.tags[slice(None)], found.tags[slice(None)], strict=True))
    assert right / len(given.lines) == pytest.approx(spans.evaluate(many)["accuracy"])


def test_stdin(spans: TagRun, monkeypatch: pytest.MonkeyPatch) -> None:
    for content, form in ((b"Anna Miller runs", "text"), (b"Anna\nMiller\nruns\n", "conll")):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
        written = "".join(spans.write_predictions(Path("-"), TagPrediction.make(input_format=form)))
        assert [line.split("\t")[:2] for line in written.splitlines() if line] == [
            ["Anna", "B-PER"], ["Miller", "I-PER"], ["runs", "O"],
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "form", "message"),
    [
        (b"", "text", "stdin: expected text, got no word; give a file with text"),
        (b"", "conll", "stdin: expected words, one per line, got none; .*"),
        (b"a b\nc\n", "conll", "stdin:2: expected 2 columns as in line 1, got 1: 'c'; mend the line"),
        ("\ufeffa".encode("utf-16-le"), "conll", "stdin:1: expected UTF-8 text, .* iconv -f utf-16 -t utf-8"),
    ],
)
def test_stdin_that_cannot_be_tagged(
    content: bytes, form: str, message: str, spans: TagRun, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Any]
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    code, out, err = command(f"predict {spans.folder} - --input-format {form}")
    assert (code, out) == (2, "")
    assert re.fullmatch(f"recurra: {message}\n", err), err


def test_no_such_data_and_no_such_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.conll").touch()
    (tmp_path / "theirs").mkdir()
    for words, message in (
        ("t.conl", rf"{tmp_path}/t.conl: expected .*, got no such path; did you mean {tmp_path}/t.conll\?"),
        ("--resume nofolder", "nofolder: expected a run folder, found nothing; give a folder that recurra made"),
        ("--resume theirs", "theirs: expected a run folder, found a folder without config.yaml; .*"),
    ):
        code, out, err = command(f"train tag {words}")
        assert (code, out) == (2, "")
        assert re.fullmatch(f"recurra: {message}\n", err), err


def test_a_refusal_imports_no_compiler(tmp_path: Path) -> None:
    """Embeddings on device meta would import torch._dynamo, which takes seconds."""
    (tmp_path / "t.conll").write_text("a O\n", encoding="utf-8")
    code = (
        "import sys; from recurra.cli.main import main; "
        f"code = main(['train', 'tag', {str(tmp_path / 't.conll')!r}, '--output-dir', {str(tmp_path / 'run')!r}]); "
        "sys.exit(1 if 'torch._dynamo' in sys.modules else code)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 2


def test_predictions_are_in_the_scheme_of_the_data(tmp_path: Path) -> None:
    """Trained in BIOES from IOB1: what comes out is IOB1."""
    for name, seed in (("train", 1), ("dev", 2)):
        text = conll(300 if seed == 1 else 50, seed)
        (tmp_path / f"{name}.conll").write_text(re.sub(r"\tB-", "\tI-", text.replace("\n\n", "\n.\tO\n\n")))
    run = train(tmp_path, data=tmp_path / "train.conll", valid=tmp_path / "dev.conll", scheme="bioes")
    assert (run.fitted.source, run.fitted.scheme) == ("iob1", "bioes")
    assert run.predict([["Rome", "sees", "Bert", "Baker"]])[0]["tags"] == ["I-LOC", "O", "I-PER", "I-PER"]


def test_the_report(spans: TagRun) -> None:
    folder = spans.folder / "report"
    tables = {path.stem: list(csv.reader(path.read_text("utf-8").splitlines())) for path in folder.glob("*.csv")}
    text = read_conll(spans.folder.parent / "data" / "test.conll")
    assert text.tags is not None
    total = tables["test_types"][-1]
    assert (total[0], int(total[4])) == ("all", len(find_spans(text.tags.values, text.tags.ids, text.lengths)))
    confusion = [[int(cell) for cell in row[1:]] for row in tables["test_confusion"][1:]]
    assert sum(map(sum, confusion)) == len(text.lines)
    assert [row[0] for row in tables["test_tags"][1:]] == spans.fitted.tags
    assert (folder / "test_confusion.png").read_bytes().startswith(b"\x89PNG")
    first = (folder / "test_errors.tsv").read_text(encoding="utf-8").splitlines()[0]
    assert first == "confidence\ttrue\tpredicted\tsentence\tword\tcontext"


def test_a_run_saved_and_loaded_tags_the_same(spans: TagRun, tmp_path: Path) -> None:
    again = recurra.load(shutil.copytree(spans.folder, tmp_path / "copy"))
    sentences = [["Anna", "Miller", "unseen"], ["x"]]
    assert again.predict(sentences) == spans.predict(sentences)
    assert again.evaluate() == spans.evaluate()


def test_resumed_is_as_never_stopped(tmp_path: Path) -> None:
    """From a checkpoint in the middle, with a table of word forms that is read again."""
    options = {"monitor": "nats_per_token", "eval_every": 20, "save_every": 20, "learning_rate": 0.005}
    whole = train(tmp_path, output_dir=tmp_path / "whole", max_steps=60, **options)
    part = train(tmp_path, output_dir=tmp_path / "part", max_steps=40, **options)
    assert not torch.equal(whole.model.output.weight, part.model.output.weight)
    config = tmp_path / "part" / "config.yaml"
    config.write_text(config.read_text().replace("max_steps: 40", "max_steps: 60"))
    again = recurra.train("tag", resume=tmp_path / "part", on_event=lambda event: None)
    for (name, one), other in zip(whole.model.state_dict().items(), again.model.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_fine_tuning_keeps_words_and_tags(spans: TagRun, tmp_path: Path) -> None:
    (tmp_path / "new.conll").write_text(conll(40, 9) + "\nnewcomer\tO\n", encoding="utf-8")
    run = recurra.train("tag", tmp_path / "new.conll", init_from=spans.folder, epochs=1, output_dir=tmp_path / "run",
                        on_event=lambda event: None)  # fmt: skip
    assert run.fitted.tags == spans.fitted.tags
    assert run.evaluate(spans.folder.parent / "data" / "test.conll")["span_f1"] > 0.9


def test_vectors_are_read_and_their_coverage_shown(tmp_path: Path) -> None:
    vectors = tmp_path / "v.txt"
    vectors.write_text("cat " + "1 " * 11 + "1\nanna " + "2 " * 11 + "2\n", encoding="utf-8")
    seen: list[Any] = []
    run = train(tmp_path, vectors=vectors, max_steps=1, on_event=seen.append, learning_rate=1e-9)
    assert run.fitted.input.facts()["vectors"].startswith("2 of 23 words")
    facts = next(event.facts for event in seen if hasattr(event, "facts") and "vectors" in event.facts)
    assert facts["vectors"].startswith("2 of 23 words")
    encoder: Any = run.model.encoder
    row = run.fitted.input.vocabulary.words.index("cat") + 1
    torch.testing.assert_close(encoder.embedding.weight[row], torch.ones(12), atol=1e-3, rtol=0)
    with pytest.raises(ConfigError, match=r"^embedding_dim=8: the vectors in .* are 12 wide; give --embedding-dim 12$"):
        train(tmp_path, vectors=vectors, embedding_dim=8, output_dir=tmp_path / "other")


GOOD = conll(30, 1)
BAD_FILES = [
    ("a\tO\nb\tI-X\n\nc\tB-X\nd\tI-X\n" + "e\tO\n\n" * 20, "",
     r".*/t.conll:2: I-X without a span of X directly before it, as BIO wants it; mend it, or read it as conlleval "
     r"does with --repair"),
    ("a\tO\nb\tI-X\n\nc\tB-X\nd\tI-Y\ne\tI-X\nf\tB-Y\n\n" + "g\tB-Y\nh\tO\n\n" * 20, "",
     r".*/t.conll:2: I-X without .* --repair; 2 more, see `recurra check tag .*/t.conll`"),
    ("a\tO\n\n" * 30, "", r".*/t.conll: expected at least 2 different tags, got only 'O'; give another --column"),
    ("a\tX\n\nb\tY\n", "", r".*/t.conll: expected sequences enough to cut into train, .*"),
    (GOOD, "--column 3", r".*/t.conll:1: column 3: expected 1 to 2, .*"),
    (GOOD, "--column upos", r".*/t.conll:1: expected CoNLL-U for column 'upos', .*"),
    (GOOD, "--column nope", r"column: expected a number or a name of CoNLL-U .*"),
    (GOOD, "--word-column 2", r".*/t.conll:1: .* has the words; .*"),
    ("a\tX\nb\tY\n\n" * 20, "--scheme bioes",
     r"scheme has no effect: .*/t.conll has no tags of spans such as B-PER but X, Y; leave it out"),
    ("a\tX\nb\tY\n\n" * 20, "--monitor span_f1",
     r"monitor=span_f1: expected one of accuracy, nats_per_token for these tags"),
    (GOOD, "--min-count 9999", r"expected words seen min_count=9999 times, got none; .*"),
    (GOOD, "--char-features none --char-size 9", r"char_size has no effect with char_features=none; .*"),
    (GOOD, "--affixes 2 2", r"affixes: expected different lengths, got \[2, 2\]; leave one out"),
    (GOOD, "--affixes 0", r"affixes: each must be from 1 to 8 characters, got \[0\]"),
    (GOOD, "--cell lsmt", r"unknown cell 'lsmt'; did you mean 'lstm'\?"),
    (GOOD, "--valid t.conll --test bad.conll",
     r".*/bad.conll:1: tag 'B-NEW' is not in the training data, which has O, B-LOC, .*"),
    (GOOD, "--valid missing.conll", r".*/missing.conll: expected .*, got no such path; .*"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "flags", "message"), BAD_FILES)
def test_data_and_options_that_cannot_be(
    content: str, flags: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.conll").write_text(content, encoding="utf-8")
    (tmp_path / "bad.conll").write_text("a\tB-NEW\n", encoding="utf-8")
    code, out, err = command(f"train tag t.conll {flags} --output-dir run")
    assert (code, out) == (2, "")
    assert re.fullmatch(f"recurra: {message}\n", err), err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.conll", "t.conll"]


def test_check_lists_all_that_is_wrong(tmp_path: Path, command: Callable[..., Any]) -> None:
    """The table of broken tags, and of those that training has not, with file and line."""
    (tmp_path / "train.conll").write_text("a\tO\nb\tI-X\n\nc\tB-X\nd\tI-X\n\ne\tB-X\nf\tI-X\n\n", encoding="utf-8")
    (tmp_path / "dev.conll").write_text("a\tB-X\n\nb\tI-Y\n", encoding="utf-8")
    code, out, _ = command(f"check tag {tmp_path}")
    assert code == 1
    assert out.splitlines() == [
        f"{tmp_path}/train.conll:2: I-X without a span of X directly before it, as BIO wants it",
        f"{tmp_path}/dev.conll:3: I-Y without a span of Y directly before it, as BIO wants it",
        f"{tmp_path}/dev.conll:3: tag 'I-Y' is not in the training data, which has O, B-X, I-X; mend it, or train on "
        "sentences that have it",
        "3 problems found",
    ]
    (tmp_path / "dev.conll").unlink()
    assert command(f"check tag {tmp_path} --repair --valid-frac 0")[:2] == (0, "nothing wrong\n")
    assert command(f"check tag {tmp_path} --column 9")[0] == 1


def test_broken_tags_repaired(tmp_path: Path) -> None:
    """As conlleval reads them: the I-LOC of `O I-LOC` begins a span."""
    for name, size, seed in (("train", 300, 1), ("dev", 50, 2)):
        path = tmp_path / "data" / f"{name}.conll"
        path.parent.mkdir(exist_ok=True)
        path.write_text(conll(size, seed).replace("Rome\tB-LOC", "Rome\tI-LOC"), encoding="utf-8")
    run = train(tmp_path, repair=True)
    assert run.predict([["Bert", "Baker", "sees", "Rome"]])[0]["tags"] == ["B-PER", "I-PER", "O", "B-LOC"]


def test_damaged_runs_are_refused(spans: TagRun, tmp_path: Path) -> None:
    for name, content, message in (
        ("tags.json", None, r"tags.json: cannot be read \(No such file or directory\); give a model folder"),
        ("tags.json", "{}", r"tags.json: expected the tags of a run, got a damaged file \('format'\); restore it"),
        ("input.json", "{", r"input.json: expected JSON, got a truncated or foreign file; restore it"),
        ("data/forms.json", "[1]", r"forms.json: damaged \(no list of words\); train anew from the data itself"),
    ):
        folder = tmp_path / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(spans.folder, folder)
        (folder / name).unlink() if content is None else (folder / name).write_text(content)
        with pytest.raises((FolderError, DataError), match=message):
            recurra.load(folder).evaluate()


def test_a_sentence_of_ten_thousand_words(spans: TagRun, tmp_path: Path) -> None:
    (tmp_path / "long.conll").write_text("Rome\tB-LOC\n" * 10_000, encoding="utf-8")
    assert spans.evaluate(tmp_path / "long.conll")["tokens"] == 10_000
