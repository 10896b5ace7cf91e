"""The commands on classifiers as a user calls them; bad input is one line, exit code 2."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from reviews import reviews, write_csv

from recurra.cli.main import main
from recurra.tasks.classify.run import ClassifyRun

SMALL = "--hidden-size 8 --embedding-dim 8 --epochs 1 --max-steps 2 --baseline none"


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


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with good files."""
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "good.csv", reviews(60))
    write_csv(tmp_path / "other.csv", [("mixed", "so so"), *reviews(5)])
    write_csv(tmp_path / "named.csv", reviews(60), ("stars", "review"))
    return tmp_path


LAYOUTS = {
    "a.csv": ("a.csv", lambda rows: "label,text\n" + "".join(f'{label},"{text}"\n' for label, text in rows)),
    "a.tsv --text 2 --label 1": ("a.tsv", lambda rows: "".join(f"{label}\t{text}\n" for label, text in rows)),
    "a.jsonl": ("a.jsonl", lambda rows: "".join(json.dumps({"text": t, "label": y}) + "\n" for y, t in rows)),
    "a.txt": ("a.txt", lambda rows: "".join(f"__label__{label} {text}\n" for label, text in rows)),
    "b.txt --format label-first --label-separator :": (
        "b.txt",
        lambda rows: "".join(f"{label}:sub {text}\n" for label, text in rows),
    ),
    "a.trees": ("a.trees", lambda rows: "".join(f"({label} (x a) (x {text.split()[0]}))\n" for label, text in rows)),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("words", LAYOUTS)
def test_every_layout_trains(command: Callable[..., Result], place: Path, words: str, pack: type[bytes]) -> None:
    name, written = LAYOUTS[words]
    (place / name).write_bytes(pack(written(reviews(60)).encode()))
    result = command(f"train classify {words} {SMALL} --output-dir run --seeds 2")
    assert result.code == 0, result.err
    assert re.search(r"classes +2: (positive|negative) \d\d, ", result.out)
    assert (place / "run" / "seed-2" / "report" / "report.md").is_file()


@pytest.mark.parametrize("parts", [("",), ("train/", "dev/", "test/")])
def test_a_folder_per_class_trains(command: Callable[..., Result], place: Path, parts: tuple[str, ...]) -> None:
    for part in parts:
        for number, (label, text) in enumerate(reviews(40)):
            (place / "data" / part / label).mkdir(exist_ok=True, parents=True)
            (place / "data" / part / label / f"{number}.txt").write_text(text)
    result = command(f"train classify data {SMALL} --output-dir run")
    assert result.code == 0, result.err
    assert f"train       {32 if len(parts) == 1 else 40} examples" in result.out
    again = command(f"train classify data {SMALL} --output-dir run --overwrite")
    assert again.code == 0, again.err


def stdin(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


TEXT = "a lovely film\n\nnot a great <film>\n"


def test_training_prints_the_command_that_does_it_again(command: Callable[..., Result], place: Path) -> None:
    result = command(f"train classify named.csv --text review --label stars {SMALL}")
    assert result.code == 0, result.err
    assert re.search(r"classes +2: (positive|negative) \d\d, ", result.out)
    assert re.search(r"train +48 examples of \d+ to \d+ steps, .* 0.00% unknown", result.out)
    assert "the same again: recurra train classify named.csv --text review --label stars " in result.out
    assert (place / "runs" / "classify-named" / "model.safetensors").is_file()


def test_predictions_in_every_format(
    command: Callable[..., Result], classifier: ClassifyRun, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "new.txt").write_text(TEXT)
    folder = classifier.folder
    tsv = command(f"predict {folder} new.txt")
    assert tsv.code == 0, tsv.err
    rows = [line.split("\t") for line in tsv.out.splitlines()]
    assert rows[0] == ["label", "probability", "negative", "positive"]
    assert [row[0] for row in rows[1:]] == ["positive", "negative"]
    found = list(csv.reader(command(f"predict {folder} new.txt --format csv").out.splitlines()))
    assert found == rows
    objects = [json.loads(line) for line in command(f"predict {folder} new.txt --format jsonl").out.splitlines()]
    assert [one["label"] for one in objects] == ["positive", "negative"]
    assert [one["text"] for one in objects] == ["a lovely film", "not a great <film>"]
    assert [f"{one['probabilities']['negative']:.6f}" for one in objects] == [row[2] for row in rows[1:]]
    stdin(monkeypatch, TEXT)
    assert command(f"predict {folder} -").out == tsv.out
    assert command(f"predict {folder} new.txt --output out.tsv").code == 0
    assert (place / "out.tsv").read_text() == tsv.out


def test_predictions_of_a_table_need_no_labels(
    command: Callable[..., Result], classifier: ClassifyRun, place: Path
) -> None:
    write_csv(place / "texts.csv", [("1", "lovely, and great"), ("2", "not lovely")], ("id", "review"))
    result = command(f"predict {classifier.folder} texts.csv --text review")
    assert [line.split("\t")[0] for line in result.out.splitlines()[1:]] == ["positive", "negative"]
    result = command(f"predict {classifier.folder} texts.csv")
    assert result.code == 2
    assert "texts.csv:1: expected one column 'text' in the header, got 'id', 'review'; give --text" in result.err


def test_explanations(command: Callable[..., Result], classifier: ClassifyRun, place: Path) -> None:
    (place / "new.txt").write_text(TEXT)
    result = command(f"predict {classifier.folder} new.txt --explain --html page.html")
    assert result.code == 0, result.err
    assert re.search(r"^positive  0\.\d+\n  a +[+-]\d.*\n  lovely +\+\d\.\d+  \++\n  film ", result.out, re.MULTILINE)
    page = (place / "page.html").read_text()
    assert "<film>" not in page
    assert ">&lt;</span>" in page
    again = command(f"predict {classifier.folder} new.txt --html page.html")
    assert (again.code, again.err) == (2, "recurra: page.html: is there already; remove it or give another --html\n")


REFUSED = [
    ("train classify none.csv", r".*none.csv: expected .*, got no such path; .*"),
    ("train classify good.csv --text txt", r".*good.csv:1: expected one column 'txt' in the header, got 'label', .*"),
    ("train classify good.csv --label 3 --text 2", r".*good.csv:1: expected a column 3 \(--label\), got 2 columns; .*"),
    ("train classify empty.csv", r".*empty.csv: expected examples, got none; give a file with texts and labels"),
    ("train classify head.csv", r".*head.csv: expected examples, got none; give a file with texts and labels"),
    ("train classify blank.csv", r".*blank.csv:3: expected a text, got an empty one; fill it in or delete it"),
    ("train classify ragged.csv", r".*ragged.csv:3: expected 2 fields as in the first row, got 3; mend it"),
    ("train classify one.csv", r".*one.csv: expected at least 2 classes, got one class only, 'a'; give examples .*"),
    ("train classify latin1.csv", r".*latin1.csv: expected UTF-8 text, got byte 0xe9 at byte offset \d+; .*"),
    ("train classify few.csv", r".*few.csv: expected more than 2 examples to cut valid and test from, got 2; .*"),
    ("train classify good.csv --test other.csv", r".*other.csv:2: label 'mixed' is not in the training data, .*"),
    ("train classify good.csv --valid other.csv", r".*other.csv:2: label 'mixed' is not in the training data, .*"),
    ("train classify good.csv --valid-count 30 --test-count 30", r".*good.csv: expected more than 60 examples .*"),
    ("train classify good.csv --valid-count 3 --valid-frac 0.2", r"valid_count has no effect with valid_frac; .*"),
    ("train classify good.csv --valid good.csv --test-count 3", r"test_count has no effect: nothing is cut .*"),
    ("train classify good.csv --class-weights good=2", r"class_weights: no class 'good'; .* 'negative', 'positive'"),
    ("train classify good.csv --label-map good=x", r"label_map: no label 'good'; .* 'negative', 'positive'"),
    ("check classify good.csv --label-map good=x", r"label_map: no label 'good'; .* 'negative', 'positive'"),
    ("train classify many.csv --label-map x=y", r"label_map: no label 'x'; expected some of ('\d+', ){8}..."),
    ("train classify good.csv --test other.csv --label-map mixt=", r"label_map: .*; did you mean 'mixed'\?"),
    ("train classify good.csv --text label", r".*good.csv:1: --text label and --label label are one column; .*"),
    ("train classify good.csv --separator ab", r"separator: expected one character, .*, got 'ab'; format tsv .*"),
    ("check classify good.csv --separator ab", r"separator: expected one character, .*, got 'ab'; format tsv .*"),
    ("train classify good.csv --multilabel-separator x", r"multilabel_separator has no effect without multilabel; .*"),
    ("train classify long.csv", r".*long.csv:1: expected one column 'text' .{1,300}"),
    ("train classify good.csv --class-weights positive=x", r"class_weights: expected `balanced`, or name=weight .*"),
    ("train classify good.csv --multilabel --label-smoothing 0.1", r"label_smoothing has no effect with multilabel.*"),
    ("train classify good.csv --model ngram", r"embedding_dim has no effect with model=ngram, .*"),
    ("train classify good.csv --ngrams 3", r"ngrams has no effect with model=network, baseline=none; leave it out"),
    ("train classify good.csv --label-map a", r"label_map: expected old=new, got 'a'"),
    ("train classify good.csv --series-id a", r".*"),
    ("train classify good.csv --fill zero", r"fill has no effect on a text; leave it out, or set input"),
    ("train classify good.csv --vectors none.txt --embedding-dim 100", r".*none.txt: cannot be read .*"),
    ("train classify good.csv --unit char --vectors none.txt", r"vectors has no effect with unit=char; it needs .*"),
    ("train classify good.csv --pooling sum", r"invalid value .sum. for --pooling. .*"),
    ("train classify good.csv --cell gruu", r".*gruu.*did you mean 'gru'\?.*"),
    ("train classify good.csv --stem klingon", r"stem: expected a language of .*, got 'klingon'"),
    ("train classify unknown.txt", r".*unknown.txt: cannot tell the format from its name or first line, .*"),
    ("train classify fast.txt", r".*fast.txt:2: expected __label__NAME and a text, got 'no label'; label it"),
    ("train classify several.txt", r".*several.txt:1: expected one label, got 2; give --multilabel if .*"),
    ("train classify good.csv --format tsv", r".*good.csv:1: expected one column 'text' in the header, got 'label.*"),
    ("train classify classes", r".*classes/stray.txt: expected folders only, one for each class, got .*"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_bad_input(command: Callable[..., Result], place: Path, words: str, message: str) -> None:
    files = {
        "empty.csv": b"",
        "head.csv": b"text,label\n",
        "blank.csv": b"text,label\nx,a\n,b\n",
        "ragged.csv": b"text,label\nx,a\ny,b,c\n",
        "one.csv": b"text,label\n" + b"x,a\n" * 9,
        "few.csv": b"text,label\nx,a\ny,b\n",
        "latin1.csv": b"text,label\nx,a\nt\xe9t\xe9,b\n",
        "unknown.txt": b"some text\n",
        "fast.txt": b"__label__a x\nno label\n",
        "several.txt": b"__label__a __label__b x\n",
        "classes/a/1.txt": b"x",
        "classes/stray.txt": b"x",
        "many.csv": b"text,label\n" + b"".join(b"x,%d\n" % n for n in range(30)),
        "long.csv": b"\0" * 1000 + b",label\nx,a\n",
    }
    for name, content in files.items():
        (place / name).parent.mkdir(exist_ok=True, parents=True)
        (place / name).write_bytes(content)
    output = "" if words.startswith("check") else "--output-dir run"
    small = SMALL.replace("--embedding-dim 8", "") if "--embedding-dim" in words else SMALL
    result = command(f"{words} {small} {output}")
    assert result.code == 2, result
    assert re.fullmatch(f"recurra: {message}\n", result.err), result.err
    assert not (place / "run").exists()


def test_labels_get_other_names_or_are_left_out(command: Callable[..., Result], place: Path) -> None:
    rows = [(label, text) for text in ("so good", "so bad") for label in "012345"] * 4
    write_csv(place / "stars.csv", rows)
    names = "--label-map 0=bad 1=bad 2= 3=good 4=good"
    result = command(f"train classify stars.csv {names} {SMALL} --output-dir run")
    assert result.code == 0, result.err
    assert re.search(r"classes +3: bad \d+, good \d+, 5 \d+|classes +3: 5 \d+, bad \d+, good \d+", result.out)
    facts = [int(number) for number in re.findall(r"(?:train|valid|test) +(\d+) examples", result.out)]
    assert sum(facts) == 40
    result = command("evaluate run stars.csv --json")
    assert json.loads(result.out)["examples"] == 40


def test_classes_with_the_names_of_other_columns(command: Callable[..., Result], place: Path) -> None:
    write_csv(place / "odd.csv", [(label, f"a {label} text") for label in ("label", "probability", "third")] * 8)
    (place / "new.txt").write_text(TEXT)
    assert command(f"train classify odd.csv {SMALL} --output-dir run").code == 0
    for flags in ("", "--format csv"):
        head = command(f"predict run new.txt {flags}").out.splitlines()[0]
        assert re.split("[\t,]", head) == ["label", "probability", "class label", "class probability", "class third"]
    (one, *_) = map(json.loads, command("predict run new.txt --format jsonl").out.splitlines())
    assert set(one["probabilities"]) == {"label", "probability", "third"}


def test_predicting_what_cannot_be(
    command: Callable[..., Result], classifier: ClassifyRun, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "new.txt").write_text(TEXT)
    (place / "empty.txt").write_text("\n \n")
    stdin(monkeypatch, "")
    for words, message in (
        ("-", "stdin: expected texts, got none; .*"),
        ("empty.txt", "empty.txt: expected texts, got none; .*"),
        ("new.txt --explain --format jsonl", "format has no effect with explain, .*"),
        ("new.txt --explain --format tsv", "format has no effect with explain, .*"),
        ("new.txt --explain --threshold 0.5", "threshold has no effect with explain, .*"),
        ("good.csv --separator ab", "separator: expected one character, .*, got 'ab'; .*"),
    ):
        result = command(f"predict {classifier.folder} {words}")
        assert (result.code, result.out) == (2, "")
        assert re.fullmatch(f"recurra: {message}\n", result.err), result.err


def test_all_that_is_wrong_is_listed(command: Callable[..., Result], place: Path) -> None:
    (place / "bad.csv").write_text("text,label\nx,a\ny\n,b\nz,\nv,b\n")
    result = command("check classify bad.csv")
    assert result.code == 1
    for line in (3, 4, 5):
        assert f"bad.csv:{line}: expected" in result.out + result.err
    assert command("check classify good.csv").code == 0
    (place / "one.csv").write_text("text,label\n" + "x,a\n" * 9)
    result = command("check classify one.csv")
    assert result.code == 1
    assert "expected at least 2 classes" in result.out + result.err
    result = command("check classify bad.csv --label-map c=d")
    assert result.code == 1
    assert "bad.csv:3: expected" in result.out


def test_a_model_of_one_label_has_no_threshold(
    command: Callable[..., Result], classifier: ClassifyRun, place: Path
) -> None:
    (place / "new.txt").write_text(TEXT)
    result = command(f"predict {classifier.folder} new.txt --threshold 0.3")
    assert result.code == 2
    assert "threshold has no effect: the model gives one label to each example; leave it out" in result.err


def test_evaluation(command: Callable[..., Result], classifier: ClassifyRun, place: Path) -> None:
    result = command(f"evaluate {classifier.folder} good.csv --json")
    assert json.loads(result.out)["examples"] == 60
    result = command(f"evaluate {classifier.folder} other.csv")
    assert result.code == 2
    assert "other.csv:2: label 'mixed' is not in the training data" in result.err
