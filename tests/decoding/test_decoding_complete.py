"""The likeliest words, against an enumeration of all token sequences."""

from __future__ import annotations

import pytest
import torch
from small_models import allow, enumerate_words, pairs_tokenizer, random_model

from recurra.decoding import complete
from recurra.decoding.complete import divide_prompt, last_run
from recurra.decoding.context import encode_context
from recurra.decoding.words import TOLERANCE
from recurra.errors import ConfigError, DataError
from recurra.models.language_model import LanguageModel
from recurra.text import BPE, Byte, Character, Tokenizer, Word
from recurra.text.word import is_word_character


def agree(
    model: LanguageModel, tokenizer: Tokenizer, prompt: str, start: list[int], tokens: list[int], k: int, depth: int
) -> None:
    """The search finds the words that the enumeration finds, and their probabilities."""
    found = complete(model, tokenizer, prompt, k, start=start)
    begun = last_run(prompt, is_word_character)
    read, given = divide_prompt(tokenizer, prompt)
    if not isinstance(tokenizer, BPE):  # the same by definition, and the enumeration wants the begun word in `given`
        read, given = prompt.removesuffix(begun), begun
    truth = enumerate_words(model, tokenizer, encode_context(tokenizer, start, read), given.encode(), tokens, depth)
    likeliest = sorted(truth, key=truth.__getitem__, reverse=True)[:k]
    assert found.exact
    assert found.error < 5 * TOLERANCE
    assert [word for word, _ in found.words] == likeliest
    for word, probability in found.words:
        text = given.removesuffix(begun) + word
        tokens_at_most = {"char": len(text) + 1, "bpe": len(text) + 1, "byte": len(text.encode()) + len("—".encode())}
        assert tokens_at_most[tokenizer.unit] <= depth, "the enumeration is not exact: make it deeper"
        assert -1e-12 <= truth[word] - probability <= found.error + 1e-12, word


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("prompt", ["", "a b", "a b. ", "ba"])
def test_characters_agree_with_enumeration(seed: int, prompt: str) -> None:
    tokenizer = Character("\nab .")
    model = random_model(tokenizer.size, seed)
    agree(model, tokenizer, prompt, [0], list(range(5)), k=5, depth=10)


@pytest.mark.parametrize("seed", range(3))
def test_the_stop_token_ends_a_word(seed: int) -> None:
    tokenizer = Character("ab ", sentences=True)
    model = random_model(tokenizer.size, seed)
    assert tokenizer.start_id is not None
    assert tokenizer.stop_id is not None
    agree(model, tokenizer, "b a", [tokenizer.start_id], [0, 1, 2, tokenizer.stop_id], k=5, depth=10)


@pytest.mark.parametrize("seed", range(3))
def test_characters_of_several_bytes(seed: int) -> None:
    tokenizer = Character("aé中—。 ")
    model = random_model(tokenizer.size, seed)
    agree(model, tokenizer, "a é", [0], list(range(6)), k=3, depth=8)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("prompt", ["b ", "b a", "é"])
def test_bytes_agree_with_enumeration(seed: int, prompt: str) -> None:
    """Dashes end words, é and À are letters, and neither is known before its last byte."""
    tokenizer = Byte()
    model = random_model(tokenizer.size, seed, scale=1.0)
    allowed = {0x61: 0.5, 0x20: 1.0, 0xC3: 0.0, 0xA9: 0.0, 0xE2: 0.5, 0x80: 0.5, 0x94: 0.5, 0xFF: -2.0}
    allow(model, allowed)
    agree(model, tokenizer, prompt, [10], list(allowed), k=3, depth=8)


MERGES = [(b" ", b"a"), (b"a", b"b"), (b" a", b"b"), (b"b", b" "), (b"a", b"b "), (b"b ", b"a"), (b".", b"a")]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("prompt", ["b ", "b a", "b ab", "a.", "", "a", "a  b"])
def test_byte_pairs_agree_with_enumeration(seed: int, prompt: str) -> None:
    """Tokens begin with a space, hold the boundary inside or end with it, and spell one word in several ways."""
    tokenizer = pairs_tokenizer(MERGES)
    model = random_model(tokenizer.size, seed, scale=1.0)
    tokens = [0x61, 0x62, 0x20, 0x2E, *range(256, 256 + len(MERGES))]
    allow(model, dict.fromkeys(tokens, 0.0) | {0x20: 2.0, 0x2E: 2.0})
    agree(model, tokenizer, prompt, [10], tokens, k=3, depth=7)


def test_byte_pairs_of_sentences() -> None:
    tokenizer = pairs_tokenizer(MERGES, sentences=True)
    model = random_model(tokenizer.size, 5, scale=1.0)
    assert tokenizer.start_id is not None
    assert tokenizer.stop_id is not None
    tokens = [0x61, 0x62, 0x20, *range(256, 256 + len(MERGES)), tokenizer.stop_id]
    allow(model, dict.fromkeys(tokens, 0.0) | {tokenizer.stop_id: 1.0})
    agree(model, tokenizer, "b a", [tokenizer.start_id], tokens, k=3, depth=8)


def test_a_begun_word_meets_the_token_that_holds_it_whole() -> None:
    """A model that has only ever seen " ab" as one token completes " a" to it, and not by the token " a"."""
    tokenizer = pairs_tokenizer(MERGES)
    model = random_model(tokenizer.size, 0)
    whole = tokenizer.encode(" ab")
    assert whole.tolist() == [258]
    allow(model, {258: 30.0, 256: 0.0, 0x62: 0.0, 0x2E: 25.0})
    words = complete(model, tokenizer, "b a", 1, start=[10]).words
    assert words[0][0] == "ab"
    assert words[0][1] > 0.5


@pytest.mark.parametrize(
    ("prompt", "read", "respelled"),
    [
        ("the app", "the", " app"),
        ("the ", "the", " "),
        ("end.\n\n", "end.", "\n\n"),
        ("word", "", "word"),
        ("", "", ""),
        ("one two-three", "one", " two-three"),
        ("x" * 100, "x" * 36, "x" * 64),
    ],
)
def test_the_end_of_a_prompt_is_spelled_anew(prompt: str, read: str, respelled: str) -> None:
    assert divide_prompt(pairs_tokenizer(MERGES), prompt) == (read, respelled)
    assert divide_prompt(Byte(), prompt) == (prompt, "")


def test_words_come_from_the_distribution() -> None:
    tokenizer = Word(["\n", "the", "apple", "Apply", "pear", ".", "x1"])
    model = random_model(tokenizer.size, 3)
    log_probs, _ = model.next_log_probs(torch.tensor([[0], [1]]), None)
    truth = {
        word: log_probs[0, tokenizer.encode(word)[0]].exp().item() for word in ("the", "apple", "Apply", "pear", "x1")
    }
    found = complete(model, tokenizer, "the ", 9, start=[0])
    assert found.exact
    assert [word for word, _ in found.words] == sorted(truth, key=truth.__getitem__, reverse=True)
    assert dict(found.words) == pytest.approx(truth, abs=1e-12)
    begun = complete(model, tokenizer, "the a", 9, start=[0])
    assert begun.words == (("apple", pytest.approx(1.0)),)


def test_words_without_case() -> None:
    tokenizer = Word(["\n", "the", "apple", "apply"], lowercase=True)
    model = random_model(tokenizer.size, 3)
    words = complete(model, tokenizer, "The APP", 9, start=[0]).words
    assert {word for word, _ in words} == {"apple", "apply"}
    assert sum(probability for _, probability in words) == pytest.approx(1.0)


def test_words_split_by_space() -> None:
    tokenizer = Word(["(the", "the", "--"], split="space")
    words = complete(random_model(tokenizer.size, 3), tokenizer, "the (t", 9, start=[0]).words
    assert words == (("(the", pytest.approx(1.0)),)


def test_the_limit_is_told() -> None:
    tokenizer = Character("\nabcd ")
    model = random_model(tokenizer.size, 1, scale=0.1)
    whole = dict(complete(model, tokenizer, "a ", 40, start=[0]).words)
    cut = complete(model, tokenizer, "a ", 40, start=[0], limit=20)
    assert not cut.exact
    for word, probability in cut.words:
        assert probability <= whole.get(word, 1.0) + 1e-12


def test_the_state_before_the_start_counts() -> None:
    tokenizer = Character("\nab ")
    model = random_model(tokenizer.size, 1)
    _, state = model.next_log_probs(torch.tensor([[1], [2]]), None)
    whole = complete(model, tokenizer, " ", 3, start=[1, 2, 0]).words
    assert dict(complete(model, tokenizer, " ", 3, start=[0], state=state).words) == pytest.approx(
        dict(whole), abs=1e-12
    )


@pytest.mark.parametrize(
    ("prompt", "start", "arguments", "error", "message"),
    [
        ("a", [0], {"k": 0}, ConfigError, "k: expected at least 1, got 0; raise it"),
        ("a", [0], {"limit": 0}, ConfigError, "limit: expected at least 1, got 0; raise it"),
        ("?!", [0], {}, DataError, "prompt: expected text that the model knows, got '?!', of which nothing is known; "
         "reword it"),
        ("", [], {}, DataError, "expected a start token or a prompt to predict from, got neither; give a prompt"),
    ],
)  # fmt: skip
def test_bad_input(prompt: str, start: list[int], arguments: dict, error: type[Exception], message: str) -> None:
    tokenizer = Character("ab ")
    with pytest.raises(error) as caught:
        complete(random_model(tokenizer.size, 0), tokenizer, prompt, **{"k": 3, **arguments}, start=start)
    assert str(caught.value) == message


def test_a_begun_word_that_is_in_no_vocabulary() -> None:
    tokenizer = Word(["\n", "the"])
    with pytest.raises(DataError) as caught:
        complete(random_model(tokenizer.size, 0), tokenizer, "the zz", 1, start=[0])
    assert str(caught.value) == (
        "prompt: expected the beginning of a word that the model knows, got 'zz'; "
        "for the next word end the prompt with a space"
    )
