"""Words as a network reads them: learned from the training part, saved, and the same after loading."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from recurra.data.conll import Column
from recurra.errors import FolderError
from recurra.tasks.inputs import load_input
from recurra.tasks.inputs.words import WORD, WordsInput
from recurra.tasks.tag.options import TagConfig


def column(text: str) -> Column:
    words = text.split()
    values = list(dict.fromkeys(words))
    return Column(values, np.array([values.index(word) for word in words], np.int32))


TRAIN = column("the cat sees the Dog and the cat sings")


def config(**options: Any) -> TagConfig:
    return TagConfig.make(embedding_dim=3, char_size=4, **options)


def test_only_words_of_the_part_are_learned() -> None:
    """A table of values may be shared with parts that were cut off."""
    part = Column(TRAIN.values, TRAIN.ids[:4])
    assert WordsInput.learn(part, config()).vocabulary.words == ["the", "cat", "sees"]


@pytest.mark.parametrize(
    "options", [{}, {"lowercase": True, "affixes": [1, 2]}, {"char_features": "none", "char_size": 64}]
)
def test_saved_and_loaded_it_encodes_the_same(options: dict[str, Any], tmp_path: Path) -> None:
    chosen = TagConfig.make(**{"embedding_dim": 3, "char_size": 4, **options})
    fitted = WordsInput.learn(TRAIN, chosen)
    fitted.save(tmp_path)
    again = load_input(tmp_path)
    assert isinstance(again, WordsInput)
    new = column("a new the CAT")
    assert np.array_equal(again.encode(new), fitted.encode(new))
    encoder = fitted.encoder(chosen).eval()
    other = again.encoder(chosen).eval()
    other.load_state_dict(encoder.state_dict())
    batch = SimpleNamespace(steps={WORD: torch.from_numpy(fitted.encode(new)).unsqueeze(1)})
    torch.testing.assert_close(other(batch), encoder(batch), rtol=0, atol=0)


def test_vectors(tmp_path: Path) -> None:
    """Of words of the training part, and of the others' that have one; the rest starts at random."""
    file = tmp_path / "v.txt"
    file.write_text("4 3\nthe 1 2 3\ndog 4 5 6\nbird 7 8 9\nunused 0 0 0\n", encoding="utf-8")
    chosen = config(vectors=file)
    fitted = WordsInput.learn(TRAIN, chosen, {"test": column("a bird")})
    assert fitted.vocabulary.words[-1] == "bird"
    assert "a" not in fitted.vocabulary.words
    fitted.save(tmp_path)
    again = load_input(tmp_path)
    for one in (fitted, again):
        assert isinstance(one, WordsInput)
        weight = one.encoder(chosen).embedding.weight.detach()
        forms = one.forms.add(["the", "Dog", "bird"])
        assert weight[one.forms.words[forms]].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
        assert weight.isfinite().all()
        assert "bird" not in one.facts()["vectors"]
        assert one.facts()["vectors"].startswith("3 of ")


@pytest.mark.parametrize("field", ["words", "characters", "affix_lengths", "lowercase", "coverage"])
def test_a_damaged_file_is_refused(field: str, tmp_path: Path) -> None:
    WordsInput.learn(TRAIN, config()).save(tmp_path)
    path = tmp_path / "input.json"
    fields = json.loads(path.read_text())
    del fields[field]
    path.write_text(json.dumps(fields))
    with pytest.raises(FolderError, match=r"input\.json: expected a whole input, got a damaged one"):
        load_input(tmp_path)
