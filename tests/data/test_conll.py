"""Files of CoNLL columns and CoNLL-U: what is read, and what is refused with which message."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
from real_data import real_data

from recurra.data.conll import TaggedText, read_conll
from recurra.errors import ConfigError, DataError, RecurraError


def read(folder: Path, content: str | bytes, *options: str | None, **more: bool) -> TaggedText:
    path = folder / "a.conll"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_conll(path, *options, **more)


def as_lists(text: TaggedText) -> list[list[tuple[str, str]]]:
    assert text.tags is not None
    return [list(zip(text.words[one], text.tags[one], strict=True)) for one in text.sentences()]


SENTENCES = [[("EU", "B-ORG"), ("rejects", "O")], [("Peter", "B-PER"), ("Blackburn", "I-PER")]]
TABS = "EU\tNNP\tB-ORG\nrejects\tVBZ\tO\n\nPeter\tNNP\tB-PER\nBlackburn\tNNP\tI-PER\n\n"

SAME = {
    "tabs": TABS,
    "spaces": TABS.replace("\t", "  "),
    "no blank line at the end": TABS.rstrip("\n"),
    "several blank lines": "\n\n" + TABS.replace("\n\n", "\n\n\n"),
    "blank lines with white space": TABS.replace("\n\n", "\n\t\n") + " \t\n",
    "Windows line ends": TABS.replace("\n", "\r\n"),
    "byte order mark": "\ufeff" + TABS,
    "documents": "-DOCSTART- -X- O\n\n" + TABS.replace("\n\n", "\n-DOCSTART-\tx\tO\n") + "-DOCSTART-\n",
    "comments": "# a text\n" + TABS.replace("Peter", "# another\nPeter"),
    "gzip": gzip.compress(TABS.encode()),
}


@pytest.mark.parametrize("name", SAME)
def test_all_mean_the_same(name: str, tmp_path: Path) -> None:
    text = read(tmp_path, SAME[name], "-1")
    assert as_lists(text) == SENTENCES
    assert text.lengths.tolist() == [2, 2]


@pytest.mark.parametrize("column", ["2", "-2"])
def test_columns_by_number(column: str, tmp_path: Path) -> None:
    assert [tag for one in as_lists(read(tmp_path, TABS, column)) for _, tag in one] == ["NNP", "VBZ", "NNP", "NNP"]
    text = read(tmp_path, TABS, "1", "-1")
    assert text.words[slice(0, 2)] == ["B-ORG", "O"]


def test_words_alone(tmp_path: Path) -> None:
    text = read(tmp_path, "EU\n\nPeter\n", tagged=False)
    assert (text.tags, text.words.values, text.lengths.tolist()) == (None, ["EU", "Peter"], [1, 1])


def test_tokens_that_look_like_comments(tmp_path: Path) -> None:
    """In tweets a word may begin with #; what has the columns of a word is one."""
    text = read(tmp_path, "#NFL\tO\n# text\n#1\tO\n#\tO\n", "-1")
    assert text.words.values == ["#NFL", "#1", "#"]


CONLLU = """\
# sent_id = 1
# text = He's\tin
1-2\tHe's\t_\t_\t_\t_\t_\t_\t_\t_
1\tHe\the\tPRON\tPRP\tCase=Nom\t3\tnsubj\t_\t_
2\t's\tbe\tAUX\tVBZ\t_\t3\tcop\t_\t_
3\tin\tin\tADP\tIN\t_\t0\troot\t_\tSpaceAfter=No
3.1\tthere\tthere\tADV\tRB\t_\t_\t_\t_\t_

1\tNew York\tNew York\tPROPN\tNNP\t_\t0\troot\t_\t_
"""

NAMED = {
    None: ["PRON", "AUX", "ADP", "PROPN"],
    "upos": ["PRON", "AUX", "ADP", "PROPN"],
    "XPOS": ["PRP", "VBZ", "IN", "NNP"],
    "deprel": ["nsubj", "cop", "root", "root"],
    "feats": ["Case=Nom", "_", "_", "_"],
    "4": ["PRON", "AUX", "ADP", "PROPN"],
    "-1": ["_", "_", "SpaceAfter=No", "_"],
}


@pytest.mark.parametrize("column", NAMED)
def test_conllu(column: str | None, tmp_path: Path) -> None:
    text = read(tmp_path, CONLLU, column)
    assert text.tags is not None
    assert text.tags[slice(None)] == NAMED[column]
    assert text.words[slice(None)] == ["He", "'s", "in", "New York"]
    assert text.lengths.tolist() == [3, 1]
    assert text.lines.tolist() == [4, 5, 6, 9]
    assert read(tmp_path, CONLLU, column, "lemma").words[slice(0, 1)] == ["he"]


WORD = "1\ta\ta\tX\tX\t_\t0\troot\t_\t_\n"
MALFORMED: list[tuple[str, str | bytes, str | None, str]] = [
    ("nothing", "", "-1", r"a.conll: expected words, one per line, got none; give a file of CoNLL columns"),
    ("CR alone", "a\tO\rb\tO\r", "-1", r"a.conll:1: expected lines that end in LF or CRLF, got CR alone; .*"),
    ("white space", " \n\t\n\n", "-1", r"a.conll: expected words, one per line, got none; .*"),
    ("comments alone", "# x\n", "-1", r"a.conll: expected words, one per line, got none; .*"),
    ("ragged", "a\tO\n\nb\n", "-1", r"a.conll:3: expected 2 columns as in line 1, got 1: 'b'; mend the line"),
    ("ragged", "a O\nb X O\n", "-1", r"a.conll:2: expected 2 columns as in line 1, got 3: 'b X O'; mend the line"),
    ("a tab too many", "a\tO\nb\tO\t\n", "2", r"a.conll:2: expected 2 columns as in line 1, got 3: .*"),
    ("empty tag", "a\tO\nb\t\n", "-1", r"a.conll:2: expected a tag, got an empty column; mend the line"),
    ("empty word", "a\tO\n \tO\n", "-1", r"a.conll:2: expected a word, got an empty column; mend the line"),
    ("one column", "a\nb\n", "-1", r"a.conll:1: column -1 has the words; .*"),
    ("one column", "a\nb\n", None, r"a.conll:1: the only column has the words; expected tags in another; .*"),
    ("no such column", "\na O\n", "3", r"a.conll:2: column 3: expected 1 to 2, or -2 .* 'a O'; .*"),
    ("no such column", "a O\n", "0", r"a.conll:1: column 0: expected 1 to 2, .*"),
    ("no such column", "a O\n", "-3", r"a.conll:1: column -3: expected 1 to 2, .*"),
    ("no CoNLL-U", "a O\n", "upos", r"a.conll:1: expected CoNLL-U for column 'upos', .*, got 2 columns: .*"),
    ("two sentences in one", WORD + "1" + WORD[1:], "upos",
     r"a.conll:2: expected word 2 of the sentence, got id '1'; put a blank line before it"),
    ("numbers left out", WORD + "3" + WORD[1:], "upos",
     r"a.conll:2: expected word 2 of the sentence, got id '3'; number the words from 1"),
    ("no number", WORD + "x" + WORD[1:], "upos", r"a.conll:2: expected word 2 of the sentence, got id 'x'; .*"),
    ("nine columns", WORD + WORD.replace("1\ta\ta", "2\ta"), "upos", r"a.conll:2: expected 10 columns as .*"),
    ("Latin-1", "a\tO\nCaf\xe9\tO\n".encode("latin1"), "-1",
     r"a.conll:2: expected UTF-8 text, got byte 0xe9; convert the file first, e.g. iconv -f latin1 -t utf-8"),
    ("UTF-16", "a\tO\n".encode("utf-16"), "-1", r"a.conll:1: expected UTF-8 text, got byte 0xff; .*"),
    ("cut gzip", gzip.compress(b"a\tO\n" * 999)[:-9], "-1", r"a.conll: expected whole gzip, got a damaged .*"),
    ("one line", b"x" * (1 << 20), "-1", r"a.conll:1: expected a word per line, got a line of 1048576 .*"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "column", "message"), MALFORMED)
def test_malformed(name: str, content: str | bytes, column: str | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, content, column)
    assert re.fullmatch(f"{re.escape(str(tmp_path))}/{message}", str(caught.value)), str(caught.value)


def test_a_column_without_such_a_name(tmp_path: Path) -> None:
    names = "id, form, lemma, upos, xpos, feats, head, deprel, deps, misc"
    message = f"column: expected a number or a name of CoNLL-U ({names}), got 'ups'; did you mean 'upos'?"
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        read(tmp_path, CONLLU, "ups")


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(RecurraError, match=r"a\.conll: cannot be read \(No such file or directory\); "):
        read_conll(tmp_path / "a.conll", "-1")


def test_a_long_sentence_and_parts_of_a_text(tmp_path: Path) -> None:
    text = read(tmp_path, "w\tO\n" * 10_000 + "\nlast\tX\n", "-1")
    assert text.lengths.tolist() == [10_000, 1]
    rest = text.cut(1, 2)
    assert rest.tags is not None
    assert (rest.words[slice(None)], rest.tags[slice(None)], rest.lines.tolist()) == (["last"], ["X"], [10_002])
    assert rest.words.used() == ["last"]


def test_memory_is_12_bytes_a_token(tmp_path: Path) -> None:
    text = read(tmp_path, "w\tO\n" * 1000, "-1")
    assert text.tags is not None
    assert [array.dtype for array in (text.words.ids, text.tags.ids, text.lines)] == [np.int32] * 3


PUBLISHED = [
    ("ud_english_ewt", "en_ewt-ud-train.conllu.gz", "upos", 12_544, 204_577, 17),
    ("ud_english_ewt", "en_ewt-ud-dev.conllu.gz", "upos", 2_001, 25_147, 17),
    ("ud_english_ewt", "en_ewt-ud-test.conllu.gz", "upos", 2_077, 25_094, 17),
    ("wnut17", "wnut17train.conll", "-1", 3_394, 62_730, 13),
    ("wnut17", "emerging.dev.conll", "-1", 1_009, 15_733, 13),
    ("wnut17", "emerging.test.annotated", "-1", 1_287, 23_394, 13),
]


@pytest.mark.parametrize(("folder", "file", "column", "sentences", "tokens", "tags"), PUBLISHED)
def test_published_counts(folder: str, file: str, column: str, sentences: int, tokens: int, tags: int) -> None:
    text = read_conll(real_data(folder) / file, column)
    assert text.tags is not None
    assert (len(text.lengths), len(text.lines), len(text.tags.values)) == (sentences, tokens, tags)
