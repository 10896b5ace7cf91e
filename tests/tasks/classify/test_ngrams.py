"""The n-gram model against scikit-learn, which fits it, and beside the network."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from reviews import reviews, topics, train, write_csv
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

import recurra
from recurra.data import Examples
from recurra.errors import ConfigError
from recurra.inspection.contributions import Explanation
from recurra.tasks.inputs import load_input
from recurra.tasks.inputs.ngrams import NgramInput

TEXTS = ["A cat, a cat sat.", "the DOG sat on the cat", "a dog's life", "nothing in common!"]


def options(**changed: Any) -> SimpleNamespace:
    normalisation = {
        "lowercase": True, "punctuation": "keep", "abbreviations": None, "stop_words": None, "stem": None,
    }  # fmt: skip
    return SimpleNamespace(**{**normalisation, "ngrams": 2, "char_ngrams": 0, "min_count": 1, **changed})


def dense(examples: Examples, width: int) -> np.ndarray:
    table = np.zeros((len(examples), width))
    for row in range(len(examples)):
        steps = examples.steps_of(row)
        table[row, steps["features"]] = steps["values"]
    return table


@pytest.mark.parametrize(("ngrams", "min_count"), [(1, 1), (2, 1), (3, 2)])
def test_features_are_those_of_scikit_learn(ngrams: int, min_count: int, tmp_path: Path) -> None:
    ours = NgramInput.fit(TEXTS, options(ngrams=ngrams, min_count=min_count))
    oracle = TfidfVectorizer(
        ngram_range=(1, ngrams), token_pattern=r"\w+|[^\w\s]", sublinear_tf=True, min_df=min_count
    ).fit(TEXTS)
    fresh = [*TEXTS, "a cat and an unseen dog", "???"]
    expected = oracle.transform(fresh).toarray()
    assert ours.features == sorted(oracle.vocabulary_)
    columns = [oracle.vocabulary_[feature] for feature in ours.features]
    np.testing.assert_allclose(dense(ours.encode(fresh), len(columns)), expected[:, columns], atol=1e-6)
    ours.save(tmp_path)
    again = load_input(tmp_path)
    np.testing.assert_array_equal(again.encode(fresh).steps["values"], ours.encode(fresh).steps["values"])


def test_n_grams_of_characters() -> None:
    ours = NgramInput.fit(["aba"], options(ngrams=1, char_ngrams=3))
    assert set(ours.features) == {"aba", "\t a", "\tab", "\tba", "\ta ", "\t ab", "\taba", "\tba "}
    assert "~ab" in ours.tokens(ours.encode(["aba"]).steps)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_model_is_that_of_scikit_learn(tmp_path: Path, classes: int) -> None:
    rows = reviews(150) + ([("other", f"a {n} song") for n in range(20)] if classes == 3 else [])
    data, test = write_csv(tmp_path / "train.csv", rows), reviews(40, seed=8)
    run = train(data, tmp_path / "run", model="ngram", lowercase=True, valid_frac=0, test_frac=0, **NO_NETWORK)
    vectors = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", sublinear_tf=True)
    features = vectors.fit_transform([text for _, text in rows])
    oracle = LogisticRegression(C=10, max_iter=1000).fit(features, [label for label, _ in rows])
    expected = oracle.predict_proba(vectors.transform([text for _, text in test]))
    assert list(oracle.classes_) == list(run.fitted.classes)
    found = [list(one.probabilities.values()) for one in run.predict([text for _, text in test])]
    np.testing.assert_allclose(found, expected, atol=2e-3)  # float32 values, and where the solver stops


NO_NETWORK: dict[str, Any] = {
    name: recurra.tasks.find_task("classify").options.model_fields[name].default
    for name in ("hidden_size", "embedding_dim", "learning_rate", "epochs", "dropout", "baseline")
}


def test_it_is_trained_by_itself_evaluated_and_loaded(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "reviews.csv", reviews(300))
    run = train(data, tmp_path / "run", model="ngram", **NO_NETWORK)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["test"]["accuracy"] > 0.8
    assert run.evaluate() == pytest.approx(metrics["test"])
    assert (tmp_path / "run" / "report" / "report.md").is_file()
    assert {path.suffix for path in (tmp_path / "run").rglob("*") if path.is_file()} <= {
        ".json", ".jsonl", ".safetensors", ".npy", ".yaml", ".md", ".log", ".csv", ".png",
    }  # fmt: skip
    again = recurra.train("classify", resume=tmp_path / "run", on_event=lambda event: None)
    assert again.evaluate() == pytest.approx(metrics["test"])


def test_several_labels(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "topics.csv", topics(300))
    run = train(data, tmp_path / "run", model="ngram", multilabel=True, **NO_NETWORK)
    assert run.evaluate()["micro_f1"] > 0.9
    assert set(run.predict(["soup and a goal"])[0].labels) == {"sport", "food"}


def test_contributions_add_up_to_the_score(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "reviews.csv", reviews(300))
    run = train(data, tmp_path / "run", model="ngram", lowercase=True, **NO_NETWORK)
    (one,) = run.explain(["a lovely film"])
    assert isinstance(one, Explanation)
    assert one.label == "positive"
    assert {"lovely", "a lovely"} & set(one.tokens)
    bias = run.model.bias.tolist()
    above = sum(one.contributions) + bias[1] - sum(bias) / 2
    log_odds = np.log(one.probability / (1 - one.probability))
    assert 2 * above == pytest.approx(log_odds, rel=1e-4)


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_csv(tmp_path / "reviews.csv", reviews(100))
    found = importlib.import_module("recurra.tasks.classify.data")
    monkeypatch.setattr(found, "find_spec", lambda name: None)
    run = train(data, tmp_path / "run", baseline="auto", epochs=1)
    assert "test n-grams" not in json.loads((run.folder / "metrics.json").read_text())
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    for wanted in ({"baseline": "ngram"}, {"model": "ngram", **NO_NETWORK}):
        with pytest.raises(ConfigError, match=r"the n-gram model needs scikit-learn; pip install 'recurra\[ngram\]'"):
            train(data, tmp_path / "other", **wanted)
    assert not (tmp_path / "other").exists()
