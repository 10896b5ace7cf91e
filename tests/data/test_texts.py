"""Readers of labelled texts: every layout gives the same examples, and every fault its file, line and remedy."""

from __future__ import annotations

import gzip
import io
import json
import re
import sys
from pathlib import Path

import pytest

from recurra.data.texts import Labelled, Layout, find_format, find_parts, read_labelled
from recurra.data.texts.trees import read_tree
from recurra.errors import ConfigError, DataError

TEXTS = [("good", "a fine film"), ("bad", "dull, and long"), ("good", 'he said "wow"')]
NUMBERS = Layout("csv", text="2", label="1")

CSV = 'label,id,text\ngood,1,a fine film\nbad,2,"dull, and long"\ngood,3,"he said ""wow"""\n'
TSV = "".join(f"{label}\t{text}\n" for label, text in TEXTS)
JSONL = "".join(json.dumps({"text": text, "label": label, "id": 1}) + "\n" for label, text in TEXTS)
FASTTEXT = "".join(f"__label__{label} {text}\n" for label, text in TEXTS)
LABEL_FIRST = "".join(f"{label}:sub {text}\n" for label, text in TEXTS)
PLACES = "".join(f"{label} | {text}\n" for label, text in TEXTS)

LAYOUTS = [
    ("a.csv", CSV, Layout("csv")),
    ("a.csv", CSV, Layout("csv", text="3", label="1", header=True)),
    ("a.csv", CSV, Layout("csv", text="-1", label="label")),
    ("a.csv", CSV.replace("label,id,text\n", ""), Layout("csv", text="3", label="1")),
    ("a.csv", CSV.replace(",", ";").replace("dull; and", "dull, and"), Layout("csv", separator=";")),
    ("bom.csv", "\ufeff" + CSV.replace("\n", "\r\n"), Layout("csv")),
    ("a.tsv", TSV, Layout("tsv", text="2", label="1")),
    ("a.tsv", "y\tx\n" + TSV + "\n", Layout("tsv", text="x", label="y")),
    ("a.jsonl", JSONL, Layout("jsonl")),
    ("a.txt", FASTTEXT, Layout("fasttext")),
    ("a.txt", LABEL_FIRST, Layout("label-first", label_separator=":")),
    ("a.txt", LABEL_FIRST.replace("\n", "\r\n\n"), Layout("label-first", label_separator=":")),
    ("a.txt", PLACES, Layout("label-first", separator="|")),
]


def pairs(found: list[Labelled]) -> list[tuple[str, str]]:
    return [(one.labels[0], one.text) for one in found]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(("name", "content", "layout"), LAYOUTS)
def test_every_layout_gives_the_same(
    tmp_path: Path, name: str, content: str, layout: Layout, pack: type[bytes]
) -> None:
    path = tmp_path / name
    path.write_bytes(pack(content.encode()))
    found = list(read_labelled(path, layout))
    assert pairs(found) == TEXTS
    lines = content.split("\n")
    assert [one.path for one in found] == [path] * 3
    assert all(one.text.split()[-1].strip('"') in lines[one.line - 1] for one in found)


def test_a_folder_per_class(tmp_path: Path) -> None:
    for number, (label, text) in enumerate(TEXTS):
        (tmp_path / label).mkdir(exist_ok=True)
        (tmp_path / label / f"{number}.txt").write_text(text + "\nsecond line\n")
    (tmp_path / ".hidden").touch()
    found = list(read_labelled(tmp_path, Layout("folder")))
    assert sorted(pairs(found)) == sorted((label, text + "\nsecond line\n") for label, text in TEXTS)
    assert find_format(tmp_path) == "folder"


def test_texts_over_several_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('text,label\n"one\ntwo\n",a\nthree,b\n')
    found = list(read_labelled(path, Layout("csv")))
    assert [(one.text, one.line) for one in found] == [("one\ntwo\n", 2), ("three", 5)]


@pytest.mark.parametrize(
    ("content", "format", "expected"),
    [
        ('text,label\nx,"a, b,a"\ny,\n', "csv", [("a", "b"), ()]),
        ('{"text": "x", "label": ["a", "b"]}\n{"text": "y", "label": []}\n', "jsonl", [("a", "b"), ()]),
        ("__label__a __label__b x\n", "fasttext", [("a", "b")]),
    ],
)
def test_several_labels(tmp_path: Path, content: str, format: str, expected: list[tuple[str, ...]]) -> None:
    (tmp_path / "a").write_text(content)
    found = read_labelled(tmp_path / "a", Layout(format, multilabel=True))
    assert [one.labels for one in found] == expected


def test_phrases_of_trees_count_once(tmp_path: Path) -> None:
    path = tmp_path / "a.trees"
    path.write_text("(3 (2 so) (4 good))\n(0 (2 so) (1 bad))\n(2 (2 so) (2 so))\n")
    assert pairs(list(read_labelled(path, Layout("trees")))) == [("3", "so good"), ("0", "so bad"), ("2", "so so")]
    phrases = pairs(list(read_labelled(path, Layout("trees", phrases=True))))
    assert phrases == [("2", "so"), ("4", "good"), ("3", "so good"), ("1", "bad"), ("0", "so bad"), ("2", "so so")]


def test_numbers_and_truth_values_are_labels(tmp_path: Path) -> None:
    values = ["1", "true", "1.0", "-3e0", "0.5", '"1.0"']
    (tmp_path / "a.jsonl").write_text("".join(f'{{"text": "x", "label": {value}}}\n' for value in values))
    found = [one.labels[0] for one in read_labelled(tmp_path / "a.jsonl", Layout("jsonl"))]
    assert found == ["1", "true", "1", "-3", "0.5", "1.0"]


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("a.csv", "", "csv"),
        ("a.TSV.gz", "", "tsv"),
        ("a.ndjson", "", "jsonl"),
        ("a.txt", "\n__label__a x", "fasttext"),
        ("a.txt", '{"a": 1}', "jsonl"),
        ("a.txt", "(3 (2 so) (4 good))", "trees"),
    ],
)
def test_formats_are_found(tmp_path: Path, name: str, content: str, format: str) -> None:
    (tmp_path / name).write_text(content)
    assert find_format(tmp_path / name) == format


def test_an_unknown_format(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("DESC:manner How ?\n")
    with pytest.raises(DataError, match=r"a.txt: cannot tell the format .*'DESC:manner How \?'; give --format \(csv, "):
        find_format(tmp_path / "a.txt")


MALFORMED = [
    ("csv", "txt,label\nx,a\n", Layout(), r":1: expected one column 'text' in the header, got 'txt', 'label'; .*"),
    ("csv", "a,b\nx,y\n", Layout(), r":1: expected one column 'text' in the header, got 'a', 'b'; give --text .*"),
    ("csv", "text,text,label\n", Layout(), r":1: expected one column 'text', got columns 1, 2; give --text 1 --header"),
    ("csv", "text,label\n", Layout(text="label"), r":1: --text label and --label label are one column; give .*"),
    ("csv", "x,a\n", Layout(text="2", label="-1"), r":1: --text 2 and --label -1 are one column; give another .*"),
    ("csv", "text;label\nx, y;a\n", Layout(), r":1: expected one column .* got 'text;label'; give --separator ';'"),
    ("csv", "text\tlabel\n", Layout(), r":1: expected one column 'text' .*, got .*; give --separator \$'\\t'"),
    ("tsv", "text,label\n", Layout(), r":1: expected one column 'text' .*, got 'text,label'; give --separator ,"),
    ("csv", "x;a\n", Layout(text="1", label="2"), r":1: expected a column 2 .*, got 1 columns; give --separator ';'"),
    ("csv", "text,label\rx,a\r", Layout(), r":1: expected lines that end in LF or CRLF, got CR alone; convert .*"),
    ("csv", 'text,label\r"x\ny",a\r', Layout(), r":1: expected lines that end in LF or CRLF, got CR alone; .*"),
    ("jsonl", '{"text": "x"}\r{"text": "y"}\r', Layout(), r":1: expected lines that end in LF .*, got CR alone; .*"),
    ("csv", "\0" * 1000 + ",label\n", Layout(), r":1: expected one column 'text' in .*, got '(\\x00){40}...', .*"),
    ("jsonl", '{"text": ["x", ' + '"yy", ' * 99 + '"z"]}', Layout(label=None), r":1: expected text .{1,80}; .*"),
    ("csv", "text,label\nx,a,b\n", Layout(), r":2: expected 2 fields as in the first row, got 3; mend it"),
    ("csv", "text,label\nx\n", Layout(), r":2: expected 2 fields as in the first row, got 1; mend it"),
    ("csv", 'text,label\n"x,a\ny,b\n', Layout(), r":2: expected a row of CSV, got a broken one \(.*\); mend its .*"),
    ("csv", 'text,label\n"x"y,a\n', Layout(), r":2: expected a row of CSV, got a broken one \(.*\); mend its quotes"),
    ("csv", "text,label\nx,a\n ,b\n", Layout(), r":3: expected a text, got an empty one; fill it in or delete it"),
    ("csv", "text,label\nx,\n", Layout(), r":2: expected a label, got an empty one; fill it in or delete the line"),
    ("csv", "x,a\n", Layout(text="3", label="2"), r":1: expected a column 3 \(--text\), got 2 columns; give .*"),
    ("tsv", "x\ta\ty\nz\tb\n", Layout(text="1", label="2"), r":2: expected 3 fields as in the first row, got 2; .*"),
    ("jsonl", '{"text": "x", "label": "a"}\n{"text"\n', Layout(), r":2: expected one JSON object per line, got .*"),
    ("jsonl", "[1]\n", Layout(), r":1: expected a JSON object, got '\[1\]'; write \{...\} on each line"),
    ("jsonl", '{"txt": "x", "label": "a"}\n', Layout(), r":1: expected a key 'text', got 'txt', 'label'; did .*"),
    ("jsonl", '{"text": 3, "label": "a"}\n', Layout(), r":1: expected text in 'text', got 3; give a string"),
    ("jsonl", '{"text": "x", "label": null}\n', Layout(), r":1: expected a label in 'label', got None"),
    ("jsonl", '{"text": "x", "label": NaN}\n', Layout(), r":1: expected a label in 'label', got nan"),
    ("jsonl", '{"text": "x", "label": ["a", "b"]}\n', Layout(), r":1: expected one label, got 2; give .*"),
    ("jsonl", '{"text": "\\ud800", "label": "a"}\n', Layout(), r":1: expected Unicode text, got half a .*"),
    ("fasttext", "__label__a x\nno label\n", Layout(), r":2: expected __label__NAME and a text, got 'no label'; .*"),
    ("fasttext", "__label__a\n", Layout(), r":1: expected a text, got an empty one; fill it in or delete it"),
    ("label-first", "a x\nlonely\n", Layout(), r":2: expected a label, space and a text, got 'lonely'; mend it"),
    ("label-first", "a|x\nb x\n", Layout(separator="|"), r":2: expected a label, '\|' and a text, got 'b x'; mend it"),
    ("trees", "(3 (2 so) (4 good))\n(3 (2 so)\n", Layout(), r":2: expected a tree .*, got 1 brackets not .*"),
    ("trees", "word\n", Layout(), r":1: expected a tree .*, got 'word' before the first bracket; mend it"),
]  # fmt: skip


@pytest.mark.parametrize(("format", "content", "layout", "message"), MALFORMED)
def test_malformed(tmp_path: Path, format: str, content: str, layout: Layout, message: str) -> None:
    path = tmp_path / "data"
    path.write_text(content)
    with pytest.raises(DataError) as error:
        list(read_labelled(path, Layout(**{**vars(layout), "format": format})))
    assert re.fullmatch(re.escape(str(path)) + message, str(error.value)), error.value


@pytest.mark.parametrize("separator", ["ab", '"', "\n"])
def test_separators_that_no_csv_has(tmp_path: Path, separator: str) -> None:
    (tmp_path / "a.csv").write_text("text,label\nx,a\n")
    with pytest.raises(ConfigError, match=r"^separator: expected one character, .* format tsv takes any$"):
        list(read_labelled(tmp_path / "a.csv", Layout("csv", separator=separator)))
    (tmp_path / "a.tsv").write_text("text||label\nx|y||a\n")
    assert pairs(list(read_labelled(tmp_path / "a.tsv", Layout("tsv", separator="||")))) == [("a", "x|y")]


def test_text_and_label_under_one_key(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n')
    with pytest.raises(ConfigError, match=r"^text and label: expected two keys, got 'text' for both; give another"):
        list(read_labelled(tmp_path / "a.jsonl", Layout("jsonl", label="text")))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    content = ("\ufeff" + CSV).encode(encoding)
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"at byte offset 0; .*, e.g. iconv -f utf-16 -t utf-8$"):
        list(read_labelled(tmp_path / "a.csv", Layout("csv")))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    with pytest.raises(DataError, match=r"^stdin: .*, e.g. iconv -f utf-16 -t utf-8$"):
        list(read_labelled(Path("-"), Layout("csv")))


def test_names_of_a_table_without_a_header(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,a\n")
    with pytest.raises(
        ConfigError, match="--text text: a table without a header has no names; give the column's number"
    ):
        list(read_labelled(tmp_path / "a.csv", Layout("csv", header=False)))


def test_all_faults_can_be_collected(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\nx,a\ny\n,b\nz,\nv,a\n")
    faults: list[int] = []
    found = list(read_labelled(path, Layout("csv"), lambda path, line, what: faults.append(line)))
    assert [one.text for one in found] == ["x", "v"]
    assert faults == [3, 4, 5]


def test_a_very_long_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recurra.data.texts.tables.LONGEST", 100)
    (tmp_path / "a.tsv").write_text("x\ta\n" + "y" * 500 + "\tb\n" + "z" * 500)
    with pytest.raises(
        DataError, match=r"a.tsv:3: expected a line of at most 100 characters, got a longer one; cut it"
    ):
        list(read_labelled(tmp_path / "a.tsv", Layout("tsv", text="1", label="2")))


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("é one\ntwo".encode())))
    found = read_labelled(Path("-"), Layout("lines", label=None))
    assert [(one.text, one.labels, one.line) for one in found] == [("é one", (), 1), ("two", (), 2)]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"ab\xff")))
    with pytest.raises(DataError, match="stdin: expected UTF-8 text, got byte 0xff at byte offset 2; convert it"):
        list(read_labelled(Path("-"), Layout("lines", label=None)))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"text,label\nx,a,b\n")))
    with pytest.raises(DataError, match=r"^stdin:2: expected 2 fields"):
        list(read_labelled(Path("-"), Layout("csv")))


def test_parts_of_a_folder(tmp_path: Path) -> None:
    for name in ("train.csv", "dev.csv", "reviews.test.csv"):
        (tmp_path / name).touch()
    names = {"train": "train.csv", "valid": "dev.csv", "test": "reviews.test.csv"}
    assert find_parts(tmp_path) == {part: tmp_path / name for part, name in names.items()}
    assert find_parts(tmp_path, valid=tmp_path / "train.csv")["valid"].name == "train.csv"
    (tmp_path / "train.tsv").touch()
    with pytest.raises(DataError, match=r"expected one train file, got train.csv, train.tsv; leave one"):
        find_parts(tmp_path)
    with pytest.raises(DataError, match=r"trian.csv: .* got no such path; did you mean .*train.csv"):
        find_parts(tmp_path / "trian.csv")


def test_trees_by_hand() -> None:
    tree = "(4 (2 (2 A) (2 film)) (3 (3 worth) (2 seeing)))"
    assert list(read_tree(tree)) == [("4", "A film worth seeing")]
    assert list(read_tree(tree, phrases=True)) == [
        ("2", "A"), ("2", "film"), ("2", "A film"), ("3", "worth"), ("2", "seeing"), ("3", "worth seeing"),
        ("4", "A film worth seeing"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        ("", "0 brackets not closed"),
        ("(3", "1 brackets not closed"),
        ("(3 (", "a bracket without a label"),
        ("(3 a))", r"'\)' after the end"),
        ("(3 a) b", "'b' after the end"),
        ("(3 )", "a node '3' without words"),
    ],
)
def test_broken_trees(tree: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        list(read_tree(tree))
