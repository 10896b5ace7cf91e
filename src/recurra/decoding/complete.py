"""The likeliest next words, whatever the model's tokens are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from recurra.decoding.context import column, encode_context, evaluating
from recurra.decoding.spelling import Prefix, Speller
from recurra.decoding.words import NEGLIGIBLE, Completions, WordSearch
from recurra.errors import ConfigError, DataError
from recurra.layers.recurrent import States
from recurra.models.language_model import LanguageModel
from recurra.text import BPE, Tokenizer, Word
from recurra.text.word import is_word_character

__all__ = ["Completions", "complete"]

LIMIT = 4096  # token sequences read in one search: a few seconds; a trained model needs some hundreds
RESPELLED = 64  # characters at most that are spelled anew: beyond, the cost outweighs a rare odd token


def complete(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    k: int,
    *,
    start: Sequence[int],
    state: Sequence[States] | None = None,
    limit: int = LIMIT,
) -> Completions:
    """The k likeliest words that a prompt goes on with.

    A word is a run of word characters (letters, digits, combining marks); any other character, a line end or the
    stop token ends it. A prompt that ends in a word character has begun a word, which is completed: "the app" gives
    "apple". After any other prompt a new word begins at once: end the prompt with a space for the next word.

    The probability of a word is that of the text going on with the rest of the word and then ending it, given the
    prompt as a text. Texts that go on otherwise (a second space, a quotation mark, unknown characters) are no words,
    so all probabilities together may stay below 1.

    Words as tokens are looked up in the model's distribution: the tokens with a letter or digit in them, and given
    a begun word, those that begin with it. (Split by spaces, a word begins after white space only.) Other tokens
    are searched best first. All token sequences that spell a word count, and all that go past its end in whatever
    way; for byte pairs, whose tokens hold the space before a word, the end of the prompt from its last white space
    on is spelled anew too, so that "the app" is met by the tokens "the" and " apple".

    Args:
        prompt: text, perhaps empty.
        k: how many words.
        start: tokens read before the prompt.
        state: the state before them, of one row; zeros where None.
        limit: token sequences that the model may read; the search stops there, and the result says so.

    Raises:
        ConfigError: k or limit below 1.
        DataError: nothing to start from, a prompt of which nothing is known, or a begun word that no token goes on.

    Example:
        >>> from recurra.layers.recurrent import Recurrent
        >>> from recurra.text import Character
        >>> model = LanguageModel(4, Recurrent("gru", 4, 8), embedding_dim=0)  # not trained: short words win
        >>> complete(model, Character("ab "), "b a", 1, start=[2]).words[0][0]
        'a'
    """
    for name, value in (("k", k), ("limit", limit)):
        if value < 1:
            raise ConfigError(f"{name}: expected at least 1, got {value}; raise it")
    with evaluating(model):
        if isinstance(tokenizer, Word):
            return _look_up(model, tokenizer, prompt, k, start, state)
        speller = Speller(model, tokenizer)
        read, respelled = divide_prompt(tokenizer, prompt)
        prefix = speller.begin(encode_context(tokenizer, start, read), state)
        prefix = _spell(speller, prefix, respelled)
        return WordSearch(speller, limit).run(prefix, last_run(prompt, is_word_character), k)


def last_run(text: str, belongs: Callable[[str], bool]) -> str:
    """The longest end of a text of which every character belongs."""
    first = len(text)
    while first and belongs(text[first - 1]):
        first -= 1
    return text[first:]


def divide_prompt(tokenizer: Tokenizer, prompt: str) -> tuple[str, str]:
    """The part of a prompt that is read as the tokenizer divides it, and the part that is spelled anew.

    White space and what follows it may share a token with what comes after the prompt, but never, by the rule that
    divides a text before byte pairs are merged, with what comes before the white space. Bytes and characters
    share no token.
    """
    if not isinstance(tokenizer, BPE):
        return prompt, ""
    before = prompt.removesuffix(last_run(prompt, _is_black)).rstrip()
    first = max(len(before), len(prompt) - RESPELLED)
    return prompt[:first], prompt[first:]


def _is_black(character: str) -> bool:
    return not character.isspace()


def _spell(speller: Speller, prefix: Prefix, text: str) -> Prefix:
    """Go on with a given text."""
    for byte in text.encode():
        mass = float(prefix.next_bytes()[byte])
        if not mass:
            raise DataError(f"prompt: expected an end that the model finds possible, got {text!r}; reword it")
        prefix = prefix.extend(byte, mass, NEGLIGIBLE * mass).given()
        speller.read([prefix])
    return prefix


def _look_up(
    model: LanguageModel,
    tokenizer: Word,
    prompt: str,
    k: int,
    start: Sequence[int],
    state: Sequence[States] | None,
) -> Completions:
    """The likeliest tokens that are words, among those that begin with the prompt's begun word if there is one."""
    begun = last_run(prompt, _is_black if tokenizer.split == "space" else is_word_character)
    context = encode_context(tokenizer, start, prompt.removesuffix(begun))
    log_probs, _ = model.next_log_probs(column(model, context), state)  # [T, 1] -> [1, V]
    probabilities = log_probs[0].double().exp().tolist()
    begun = begun.lower() if tokenizer.lowercase else begun
    silent = {*tokenizer.excluded_ids, tokenizer.stop_id}
    tokens = ((tokenizer.token(number), number) for number in range(tokenizer.size) if number not in silent)
    words = [(word, probabilities[number]) for word, number in tokens if word.startswith(begun)]
    total = sum(probability for _, probability in words) if begun else 1.0
    if not total:
        raise DataError(
            f"prompt: expected the beginning of a word that the model knows, got {begun!r}; "
            "for the next word end the prompt with a space"
        )
    words = [(word, probability / total) for word, probability in words if any(map(str.isalnum, word))]
    return Completions(tuple(sorted(words, key=lambda pair: (-pair[1], pair[0]))[:k]))
