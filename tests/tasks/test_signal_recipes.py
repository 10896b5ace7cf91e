"""The recipes of signals reach what they quote, less the chance of one seed."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_data import real_data

import recurra
from recurra.tasks.classify.options import ClassifyConfig

RECIPES = Path(__file__).parents[2] / "examples" / "recipes"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "train", "test", "least"),
    [
        ("ecg200", "ECG200_TRAIN.tsv", "ECG200_TEST.tsv", 0.82),
        ("japanese_vowels", "JapaneseVowels_TRAIN.ts.gz", "JapaneseVowels_TEST.ts.gz", 0.98),
        ("pendigits", "pendigits.tra", "pendigits.tes", 0.97),
    ],
)
def test_recipe(tmp_path: Path, recipe: str, train: str, test: str, least: float) -> None:
    folder = real_data(recipe)
    config = ClassifyConfig.from_yaml(
        RECIPES / f"{recipe}.yaml", data=folder / train, test=folder / test, output_dir=tmp_path / "run"
    )
    options = {name: getattr(config, name) for name in config.model_fields_set}
    run = recurra.train("classify", on_event=lambda event: None, **options)
    assert run.evaluate()["accuracy"] >= least
