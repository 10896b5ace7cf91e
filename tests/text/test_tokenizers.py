"""What every tokenizer must do, for every unit."""

from __future__ import annotations

import doctest
import importlib
import json
import pkgutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recurra.data
import recurra.text
from recurra.errors import ConfigError, DataError, FolderError
from recurra.text import BPE, Byte, Character, Tokenizer, Word, load_tokenizer, train_tokenizer
from recurra.text.bpe import spread_sample
from recurra.text.tokenizer import PIECE, pieces

TEXT = "The cat sat on the mat, and the cat's hat sat too.\nThe 2nd line: 3 cats.\n" * 4
UNITS = ("char", "word", "bpe", "byte")
AWKWARD = [
    "",
    "\n",
    "\0",
    "a\r\nb\rc\n\n\n  d",
    "汉字,漢字。한국어",
    "e\u0301 a\u0328\u0301",
    "👩‍👩‍👧‍👦 🏳️‍🌈!",
    "<s> [UNK] </s> <|endoftext|> [START]",
    "\ufeff\u200b\u2028\x85\x1c",
    "\U0010ffff\uffff",
]
LEARNED = BPE.learn([TEXT], 280)


@pytest.fixture(scope="module", params=[(unit, mode) for unit in UNITS for mode in ("stream", "sentences")])
def tokenizer(request: pytest.FixtureRequest, options: object) -> Tokenizer:
    unit, mode = request.param
    return train_tokenizer(options(unit, mode=mode, **({"vocabulary_size": 300} if unit == "bpe" else {})), [TEXT])


def test_numbers_are_int64_below_the_size(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(TEXT)
    assert ids.dtype == np.int64
    assert 0 <= ids.min() <= ids.max() < tokenizer.size
    assert tokenizer.encode("").dtype == np.int64
    assert tokenizer.encode("").shape == (0,)


def test_start_and_stop_only_in_sentences(tokenizer: Tokenizer) -> None:
    if tokenizer.start_id is None:
        assert tokenizer.stop_id is None
        with pytest.raises(DataError, match="expected a tokenizer of mode=sentences"):
            tokenizer.encode_sentences(["the cat"])
        return
    (ids,) = tokenizer.encode_sentences(["the cat"])
    assert [ids[0], ids[-1]] == [tokenizer.start_id, tokenizer.stop_id]
    assert ids[1:-1].tolist() == tokenizer.encode("the cat").tolist()
    assert tokenizer.decode(ids) == "the cat"
    assert {tokenizer.token(tokenizer.start_id), tokenizer.token(tokenizer.stop_id)} == {"[START]", "[STOP]"}
    assert tokenizer.start_id in tokenizer.excluded_ids
    assert tokenizer.stop_id not in tokenizer.excluded_ids


def test_every_token_has_a_name_and_is_excluded_if_unknown(tokenizer: Tokenizer) -> None:
    assert all(tokenizer.token(number) for number in range(tokenizer.size))
    assert (tokenizer.unknown_id is not None) == (tokenizer.unit in ("char", "word"))
    if tokenizer.unknown_id is not None:
        assert tokenizer.unknown_id in tokenizer.excluded_ids
        ids = tokenizer.encode("語")
        assert ids.tolist() == [tokenizer.unknown_id]
        assert tokenizer.decode(ids) == "[UNK]"
        assert tokenizer.count_unknown(ids) == 1


def test_batch_equals_one_by_one(tokenizer: Tokenizer) -> None:
    texts = [TEXT, "", "cat", *AWKWARD]
    for ids, text in zip(tokenizer.encode_batch(texts), texts, strict=True):
        assert ids.tolist() == tokenizer.encode(text).tolist()


def test_saved_and_loaded_is_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    loaded = load_tokenizer(path)
    assert type(loaded) is type(tokenizer)
    assert loaded.to_json() == tokenizer.to_json()
    assert (loaded.size, loaded.excluded_ids) == (tokenizer.size, tokenizer.excluded_ids)
    for text in [TEXT, *AWKWARD]:
        assert loaded.encode(text).tolist() == tokenizer.encode(text).tolist()
    assert [entry.name for entry in tmp_path.iterdir()] == ["tokenizer.json"]


@settings(deadline=None, max_examples=60)
@given(text=st.text())
def test_any_text_comes_back_from_bytes_and_pairs(text: str) -> None:
    for tokenizer in (Byte(), LEARNED):
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_text_comes_back(text: str) -> None:
    for tokenizer in (Byte(), LEARNED, Character(sorted(set(text) | {"a"}))):
        assert tokenizer.decode(tokenizer.encode(text)) == text


@settings(deadline=None, max_examples=60)
@given(text=st.text(), unseen=st.text())
def test_known_characters_come_back_and_others_are_counted(text: str, unseen: str) -> None:
    tokenizer = Character(sorted(set(text)))
    assert tokenizer.decode(tokenizer.encode(text)) == text
    ids = tokenizer.encode(text + unseen)
    assert tokenizer.count_unknown(ids) == sum(character not in text for character in unseen)


@settings(deadline=None, max_examples=60)
@given(ids=st.lists(st.integers(0, 270)))
def test_streaming_never_gives_half_a_character(ids: list[int]) -> None:
    """Each prefix of what is streamed is a prefix of what the bytes decode to, and all of it is all of it."""
    decoder = LEARNED.stream_decoder()
    whole = b"".join(LEARNED.token_bytes(number) for number in ids).decode("utf-8", "replace")
    given_so_far = ""
    for number in ids:
        given_so_far += decoder.push(number)
        assert whole.startswith(given_so_far)
    assert given_so_far + decoder.finish() == whole == LEARNED.decode(ids)


def test_a_character_appears_with_its_last_byte() -> None:
    decoder = Byte().stream_decoder()
    assert [decoder.push(byte) for byte in "aé🙂".encode()] == ["a", "", "é", "", "", "", "🙂"]
    assert decoder.finish() == ""
    decoder.push(0xF0)
    assert decoder.finish() == "\N{REPLACEMENT CHARACTER}"


@settings(deadline=None, max_examples=30)
@given(parts=st.lists(st.text(st.sampled_from("ab \n語"), max_size=PIECE // 8), max_size=4), data=st.data())
def test_pieces_depend_on_the_text_alone(parts: list[str], data: st.DataObject) -> None:
    text = "".join(part * data.draw(st.integers(1, 40)) for part in parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=3)))
    chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    cut = list(pieces([text]))
    assert list(pieces(chunks)) == cut
    assert "".join(cut) == text
    assert all(0 < len(piece) <= PIECE for piece in cut)


def test_pieces_do_not_change_words_or_pairs() -> None:
    text = "the cat's hat,  and\n\n  the mat 12 " * 6000
    assert len(list(pieces([text]))) > 2
    whole = LEARNED._library.encode(text, add_special_tokens=False).ids
    assert LEARNED.encode(text).tolist() == whole
    words = Word(["the", "cat", ",", "and"])
    assert words.encode(text).tolist() == words.encode_pieces([text])[0].tolist()


def test_a_text_without_spaces_is_cut_all_the_same() -> None:
    text = "語" * (2 * PIECE + 5)
    assert [len(piece) for piece in pieces([text])] == [PIECE, PIECE, 5]
    assert LEARNED.decode(LEARNED.encode(text)) == text


def test_a_special_token_spelled_out_stays_text(options: object) -> None:
    text = "[UNK] [START] [STOP] [number] <s> "
    for unit in UNITS:
        for mode in ("stream", "sentences"):
            tokenizer = train_tokenizer(options(unit, mode=mode, split="punctuation"), [text * 9])
            ids = tokenizer.encode(text)
            assert not set(ids.tolist()) & set(tokenizer.specials.values())
    words = train_tokenizer(options("word", split="space", number_token=True, mode="sentences"), [text])
    ids = words.encode(text + "12")
    assert len(set(ids.tolist())) == 6
    assert ids[-1] == words.specials["[number]"] != ids[3]


def test_learning_takes_pieces_spread_over_the_text() -> None:
    texts = [f"{number:04d}" for number in range(1000)]
    sample = [int(text) for text in spread_sample(iter(texts), 400)]
    assert 50 < len(sample) <= 100
    assert len({b - a for a, b in pairwise(sample)}) == 1
    assert sample[0] == 0
    assert sample[-1] > 900
    assert spread_sample(["too long"], 2) == ["too long"]


def test_sizes_and_counts(options: object) -> None:
    text = "aaaa bbb cc d "
    sizes = {
        ("char", 3): ["a", "b", "c", " "],
        ("word", 1): ["\n", "aaaa", "bbb", "cc", "d"],
    }
    for (unit, count), known in sizes.items():
        tokenizer = train_tokenizer(options(unit, min_count=count - (unit == "char")), [text])
        assert sorted(tokenizer.token(n) for n in range(tokenizer.size)) == sorted([*known, "[UNK]"])
    for unit, size in (("char", 4), ("word", 4), ("bpe", 258)):
        for mode, more in (("stream", 0), ("sentences", 2)):
            changes = options(unit, mode=mode, vocabulary_size=size + more)
            assert train_tokenizer(changes, [text * 9]).size == size + more


@pytest.mark.parametrize(
    ("unit", "changes", "message"),
    [
        ("glyph", {}, "unit: expected one of char, word, bpe, byte, got 'glyph'"),
        ("char", {"lowercase": True}, "lowercase=True: goes with unit=word, got unit=char; leave it out"),
        ("bpe", {"split": "space"}, "split=space: goes with unit=word, got unit=bpe; leave it out"),
        ("byte", {"min_count": 2}, "min_count=2: goes with unit=char or word or bpe, got unit=byte; leave it out"),
        ("bpe", {"vocabulary_size": 9}, "vocabulary_size: expected at least 256 for unit=bpe, got 9; raise it"),
        ("word", {"split": "tab"}, "split: expected space or punctuation, got 'tab'"),
    ],
)
def test_options_that_do_not_fit(options: object, unit: str, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        train_tokenizer(options(unit, **changes), [TEXT])
    assert str(error.value) == message


@pytest.mark.parametrize("unit", ["char", "word", "bpe"])
def test_nothing_to_learn_from(options: object, unit: str) -> None:
    with pytest.raises(DataError, match=r"got (none|an empty one); give a longer text"):
        train_tokenizer(options(unit), [])


def test_a_text_is_not_a_path(options: object) -> None:
    with pytest.raises(DataError, match="expected a Path or a list of texts"):
        train_tokenizer(options("char"), "corpus.txt")


@pytest.mark.parametrize("tokenizer_of", [Byte, lambda: Character("a"), lambda: Word(["a"]), lambda: LEARNED])
def test_half_a_surrogate_pair(tokenizer_of: type[Byte]) -> None:
    with pytest.raises(DataError, match=r"expected Unicode text, got '\\udcff' at character 2; give it as UTF-8"):
        tokenizer_of().encode("ab\udcff")


GOOD = json.dumps(Character("ab").to_json())
WORDS = Word(["a"], {"[UNK]": 1}).to_json()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD[:-9], "expected JSON, got a truncated or foreign file; restore it"),
        ("", "expected JSON, got a truncated or foreign file; restore it"),
        (b"\xff\xfe", "expected JSON, got a truncated or foreign file; restore it"),
        ("[1]", "expected a tokenizer of recurra, got foreign JSON; give a model folder"),
        ('{"version": "1.0", "model": {}}', "expected a tokenizer of recurra, got foreign JSON; give a model folder"),
        (
            GOOD.replace('"format_version": 1', '"format_version": 99'),
            "expected format_version 1, got 99; use the version of recurra that wrote it",
        ),
        (GOOD.replace('"char"', '"x"'), "expected a whole tokenizer, got a damaged one ('x'); restore it"),
        (GOOD.replace('["a", "b"]', '"ab"'), "(characters is not a list of strings)"),
        (GOOD.replace('["a", "b"]', '["a", "a"]'), "(characters has duplicates)"),
        (GOOD.replace('["a", "b"]', '["a", "bc"]'), "expected a whole tokenizer, got a damaged one"),
        (json.dumps({**WORDS, "split": "x"}), "split: expected space or punctuation, got 'x'"),
        (json.dumps({**WORDS, "specials": {}}), "got a damaged one ('[UNK]')"),
        (json.dumps({**WORDS, "specials": {"[UNK]": 0}}), "expected numbers of their own"),
        (json.dumps({**WORDS, "specials": 3}), "expected a whole tokenizer, got a damaged one"),
    ],
)
def test_damaged_files(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FolderError) as error:
        load_tokenizer(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_damaged_pairs(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    for change in ({"vocabulary": ["a"]}, {"merges": ["a"]}, {"merges": ["a zz"]}, {"vocabulary": ["\n"]}):
        path.write_text(json.dumps({**LEARNED.to_json(), **change}))
        with pytest.raises(FolderError, match="expected a whole tokenizer, got a damaged one"):
            load_tokenizer(path)


def test_missing_and_unwritable_files(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"none.json: cannot be read \(No such file or directory\)"):
        load_tokenizer(tmp_path / "none.json")
    with pytest.raises(FolderError, match="cannot be written"):
        Byte().save(tmp_path / "none" / "tokenizer.json")


def modules() -> Iterator[str]:
    for package in (recurra.text, recurra.data):
        yield from (f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__))


@pytest.mark.parametrize("name", list(modules()))
def test_examples_in_docstrings(name: str) -> None:
    module = importlib.import_module(name)
    assert doctest.testmod(module, extraglobs={"np": np}).failed == 0
