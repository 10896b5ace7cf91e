"""Generated text: where it ends, how it streams, what decides it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pytest
import torch
from small_models import Script, allow, random_model

from recurra.config import GenerationOptions
from recurra.decoding import generate
from recurra.errors import ConfigError, DataError
from recurra.text import BPE, Byte, Character, Tokenizer, Word


def follow(tokenizer: Tokenizer, script: list[int], prompt: str = "", **options: object) -> tuple[str, list[str]]:
    """The text of a script, and the pieces in which it came."""
    pieces: list[str] = []
    made = GenerationOptions.make(**{"length": len(script), "greedy": True, **options})
    model = Script(tokenizer.size, script)
    (silent,) = generate(model, tokenizer, prompt, made, start=[0])
    (text,) = generate(model, tokenizer, prompt, made, start=[0], on_text=pieces.append)
    assert text == silent == "".join(pieces)
    assert "" not in pieces
    return text, pieces


def test_a_character_comes_whole() -> None:
    """Four bytes of an emoji, then a combining mark of two: no piece holds half of one."""
    script = list("a🎉é".encode())
    assert follow(Byte(), script) == ("a🎉é", ["a", "🎉", "é"])


def test_a_character_cut_by_length_is_replaced() -> None:
    assert follow(Byte(), list("a🎉".encode()), length=3) == ("a\ufffd", ["a", "\ufffd"])


def test_byte_pairs_that_cut_a_character() -> None:
    tokenizer = BPE.learn(["🎉🎊 🎉🎊 🎉🎊 " * 5], size=262)
    script = [token for text in ("🎉", "🎊", " x") for token in tokenizer.encode(text).tolist()]
    text, pieces = follow(tokenizer, script)
    assert text == "🎉🎊 x"
    assert all("\ufffd" not in piece for piece in pieces)


@pytest.mark.parametrize(
    ("text", "stop", "left", "pieces"),
    [
        ("ab--cd", "--", "ab", ["a", "b"]),
        ("a-b--c", "--", "a-b", ["a", "-b"]),
        ("a--", "--", "a", ["a"]),
        ("a-", "--", "a-", ["a", "-"]),
        ("--", "--", "", []),
        ("aab-aac", "aac", "aab-", ["aab", "-"]),
        ("aaaab", "aab", "aa", ["a", "a"]),
        ("a🎉b", "🎉", "a", ["a"]),
        ("abc", "x", "abc", ["a", "b", "c"]),
    ],
)
def test_a_stop_string_across_tokens(text: str, stop: str, left: str, pieces: list[str]) -> None:
    found, came = follow(Byte(), list(text.encode()), stop=stop)
    assert found == left
    assert came == pieces


def test_a_stop_string_inside_a_token() -> None:
    tokenizer = Word(["\n", "one", "two--three"], split="space")
    assert follow(tokenizer, [1, 2, 1], stop="--") == ("one two", ["one", " two"])


def test_the_stop_token_ends_a_text() -> None:
    tokenizer = Character("ab", sentences=True)
    assert tokenizer.stop_id is not None
    assert follow(tokenizer, [0, 1, tokenizer.stop_id, 0])[0] == "ab"


def test_the_length_is_in_tokens() -> None:
    assert follow(Byte(), list(b"abcdef"), length=4)[0] == "abcd"


@pytest.mark.parametrize(
    ("prompt", "text"), [("one", " two. one"), ("one ", "two. one"), ("one\n", "two. one"), ("", "two. one")]
)
def test_words_are_spaced_from_the_prompt(prompt: str, text: str) -> None:
    tokenizer = Word(["\n", "one", "two", "."])
    assert follow(tokenizer, [2, 3, 1], prompt)[0] == text


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_the_batch_is_as_its_rows(
    backend: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Each of n texts is what stepping its tokens one by one through the model gives, from the same random numbers."""
    if backend == "native":
        request.getfixturevalue("native")
    tokenizer = Character("\nab. ", sentences=False)
    model = random_model(tokenizer.size, 1)
    options = GenerationOptions.make(length=30, n=5, seed=7)
    monkeypatch.setenv("RECURRA_BACKEND", backend)
    texts = generate(model, tokenizer, "ab", options, start=[0])
    draws = torch.Generator().manual_seed(7)
    numbers = torch.stack([torch.rand(5, generator=draws, dtype=torch.float64) for _ in range(30)]).T  # [B, T]
    for row, text in enumerate(texts):
        ids = [0, *tokenizer.encode("ab").tolist()]
        for number in numbers[row].tolist() if backend == "reference" else islice(xoshiro(7, row), 30):
            log_probs, _ = model.next_log_probs(torch.tensor(ids)[:, None], None)
            chances = log_probs[0].exp()
            chances[tokenizer.unknown_id] = 0.0
            ids.append(int((chances.cumsum(0) / chances.sum() <= number).sum()))
        assert text == tokenizer.decode(ids[3:])


def xoshiro(seed: int, stream: int) -> Iterator[float]:
    """xoshiro256++ after its authors' C code (prng.di.unimi.it), seeded as native/sample.cpp states."""
    word = (1 << 64) - 1

    def mixed(state: int) -> Iterator[int]:
        while True:
            state = (state + 0x9E3779B97F4A7C15) & word
            z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & word
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & word
            yield z ^ (z >> 31)

    def rotated(x: int, by: int) -> int:
        return ((x << by) | (x >> (64 - by))) & word

    a, b, c, d = islice(mixed(seed ^ next(mixed(stream))), 4)
    while True:
        yield (((rotated((a + d) & word, 23) + a) & word) >> 11) * 2.0**-53
        shifted = (b << 17) & word
        c, d = c ^ a, d ^ b
        b, a = b ^ c, a ^ d
        c, d = c ^ shifted, rotated(d, 45)


def test_texts_end_each_by_itself() -> None:
    tokenizer = Character("ab", sentences=True)
    model = random_model(tokenizer.size, 2)
    texts = generate(model, tokenizer, "", GenerationOptions.make(length=12, n=40, seed=1), start=[tokenizer.start_id])
    assert len({len(text) for text in texts}) > 3
    first = generate(
        model, tokenizer, "", GenerationOptions.make(length=12, n=40, seed=1, stop="bb"), start=[tokenizer.start_id]
    )
    assert first == [text.partition("bb")[0] for text in texts]  # a text that ends early disturbs no other


def test_one_seed_one_text() -> None:
    tokenizer = Byte()
    model = random_model(tokenizer.size, 1)
    options = GenerationOptions.make(length=40, seed=3, top_p=0.9, temperature=1.3)
    (silent,) = generate(model, tokenizer, "x", options, start=[10])
    pieces: list[str] = []
    (text,) = generate(model, tokenizer, "x", options, start=[10], on_text=pieces.append)
    assert text == silent == "".join(pieces)
    other = GenerationOptions.make(length=40, seed=4, top_p=0.9, temperature=1.3)
    assert generate(model, tokenizer, "x", other, start=[10]) != [text]


def test_unknown_and_start_are_never_generated() -> None:
    tokenizer = Character("ab", sentences=True)
    model = random_model(tokenizer.size, 2)
    assert tokenizer.unknown_id is not None
    assert tokenizer.start_id is not None
    assert tokenizer.stop_id is not None
    allow(model, {tokenizer.unknown_id: 20.0, tokenizer.start_id: 20.0, 0: 0.0, 1: 0.0})
    texts = generate(model, tokenizer, "", GenerationOptions.make(length=9, n=20, seed=1), start=[tokenizer.start_id])
    assert all(len(text) == 9 and set(text) <= set("ab") for text in texts)


def test_the_state_before_the_start_counts() -> None:
    tokenizer = Byte()
    model = random_model(tokenizer.size, 1, cell="lstm")
    options = GenerationOptions.make(length=20, n=3, seed=1)
    _, state = model.next_log_probs(torch.tensor([[1], [2]]), None)
    whole = generate(model, tokenizer, "x", options, start=[1, 2, 10])
    assert generate(model, tokenizer, "x", options, start=[10], state=state) == whole


def test_the_model_is_left_as_it_was() -> None:
    tokenizer = Byte()
    model = random_model(tokenizer.size, 1)
    model.dropout.p = 0.5
    model.train()
    model.stack.eval()
    options = GenerationOptions.make(length=20, greedy=True)
    assert generate(model, tokenizer, "x", options, start=[10]) == generate(model, tokenizer, "x", options, start=[10])
    assert model.training
    assert model.dropout.training
    assert not model.stack.training


def test_streaming_is_for_one_text() -> None:
    tokenizer = Byte()
    with pytest.raises(ConfigError) as caught:
        generate(Script(256, []), tokenizer, "", GenerationOptions.make(n=2), start=[0], on_text=print)
    assert str(caught.value) == "on_text: expected n=1, got n=2; leave one of them out"


def test_a_prompt_of_which_nothing_is_known() -> None:
    tokenizer = Character("ab")
    with pytest.raises(DataError) as caught:
        generate(Script(tokenizer.size, []), tokenizer, "Ω!", GenerationOptions.make(), start=[0])
    assert (
        str(caught.value)
        == "prompt: expected text that the model knows, got 'Ω!', of which nothing is known; reword it"
    )
