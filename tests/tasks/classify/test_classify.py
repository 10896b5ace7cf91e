"""Classifiers learn made-up rules, from every layout and with every summary; what they write is what they know."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reviews import reviews, topics, train, write_csv

import recurra
from recurra.data import load_examples
from recurra.errors import ConfigError, DataError
from recurra.metrics.classification import count_classes
from recurra.tasks.classify.run import ClassifyRun


def metrics(run: ClassifyRun) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.folder / "metrics.json").read_text())
    return found


def test_it_learns_what_the_baseline_cannot_know_better(classifier: ClassifyRun) -> None:
    found = metrics(classifier)
    assert found["test"]["accuracy"] > 0.95
    assert found["test"]["examples"] == 60
    assert {"accuracy", "macro_f1", "nats_per_example"} <= set(found["test n-grams"])
    assert classifier.evaluate() == pytest.approx(found["test"])
    assert classifier.evaluate(batch_size=7) == pytest.approx(found["test"])


def test_new_texts(classifier: ClassifyRun, tmp_path: Path) -> None:
    fresh = reviews(200, seed=9)
    found = classifier.predict([text for _, text in fresh])
    right = np.mean([one.label == label for one, (label, _) in zip(found, fresh, strict=True)])
    assert right > 0.95
    assert all(math.isclose(sum(one.probabilities.values()), 1) for one in found)
    assert classifier.evaluate(write_csv(tmp_path / "fresh.csv", fresh))["accuracy"] == pytest.approx(right)


def test_neither_batch_nor_order_matters(classifier: ClassifyRun) -> None:
    texts = [text for _, text in reviews(70, seed=3)] + ["long " * 500]
    together = classifier.predict(texts)
    for one, text in zip(together[::10], texts[::10], strict=True):
        assert classifier.predict([text])[0].probabilities == pytest.approx(one.probabilities, abs=1e-6)
    assert [one.text for one in classifier.predict(texts[::-1])] == texts[::-1]


@pytest.mark.parametrize("given", [None, 5, b"text"])
def test_what_is_no_text(classifier: ClassifyRun, given: Any) -> None:
    with pytest.raises(DataError, match=f"^text 2: expected text, got {given}; give a list of str$"):
        classifier.predict(["a film", given])


def test_saved_and_loaded(classifier: ClassifyRun) -> None:
    again = recurra.load(classifier.folder)
    texts = ["not a great film", "", "über 😀 unknown"]
    assert [a.probabilities for a in again.predict(texts)] == [b.probabilities for b in classifier.predict(texts)]
    assert not list(classifier.folder.rglob("*.pkl")) + list(classifier.folder.rglob("*.pt"))


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
def test_every_summary_learns(csv_file: Path, tmp_path: Path, pooling: str) -> None:
    run = train(csv_file, tmp_path / "run", pooling=pooling, lowercase=True, cell="gru", epochs=10)
    assert run.evaluate()["accuracy"] > 0.9


@pytest.mark.parametrize(
    "options",
    [
        {"unit": "char", "epochs": 12, "hidden_size": 32, "pooling": "max"},
        {"unit": "bpe", "vocabulary_size": 300, "lowercase": True},
        {"bidirectional": False, "num_layers": 2, "skip": True, "lowercase": True, "epochs": 9},
        {"word_dropout": 0.1, "label_smoothing": 0.1, "class_weights": ["balanced"], "lowercase": True},
        {"class_weights": ["positive=3"], "metric": "macro_f1", "lowercase": True, "dtype": "float64", "epochs": 9},
        {"stem": "english", "abbreviations": "english", "punctuation": "drop", "metric": "loss", "lowercase": True},
    ],
)
def test_options(csv_file: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    assert train(csv_file, tmp_path / "run", **options).evaluate()["accuracy"] > 0.85


def test_weights_of_classes_move_the_decisions(csv_file: Path, tmp_path: Path) -> None:
    def positives(weight: str) -> int:
        options = {"class_weights": [f"positive={weight}"], "epochs": 2}
        run = train(csv_file, tmp_path / weight, **options)
        return sum(one.label == "positive" for one in run.predict([text for _, text in reviews(100, seed=4)]))

    assert positives("50") > 95
    assert positives("0.02") < 5


def test_several_labels(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "topics.csv", topics(500))
    run = train(data, tmp_path / "run", multilabel=True, epochs=10, metric="macro_f1")
    found = metrics(run)
    assert found["test"]["accuracy"] > 0.9
    assert found["test"]["micro_f1"] > 0.95
    one, none = run.predict(["soup and a goal", "the film was it"])
    assert set(one.labels) == {"sport", "food"}
    assert none.labels == ()
    assert run.predict(["soup"], threshold=1e-9)[0].labels == tuple(sorted(run.fitted.classes, key=one_of(run, "soup")))
    parts = load_examples(run.folder / "data")
    targets, best = parts["valid"].items["target"], run.threshold
    scores = 1 / (1 + np.exp(-run.scores(parts["valid"])))
    f1 = [count_classes(targets, scores >= threshold, 3).micro_f1 for threshold in (best, *np.linspace(0.01, 0.99, 99))]
    assert f1[0] == pytest.approx(max(f1))
    assert not (run.folder / "report" / "confusion.png").exists()


def one_of(run: ClassifyRun, text: str) -> Any:
    probabilities = run.predict([text])[0].probabilities
    return lambda name: -probabilities[name]


def test_the_report(classifier: ClassifyRun) -> None:
    folder = classifier.folder / "report"
    assert (folder / "confusion.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((folder / "classes.csv").read_text().splitlines()))
    assert [row["class"] for row in rows] == ["negative", "positive"]
    assert sum(int(row["support"]) for row in rows) == 60
    confusions = list(csv.reader((folder / "confusion.csv").read_text().splitlines()))
    wrong = [json.loads(line) for line in (folder / "wrong.jsonl").read_text().splitlines()]
    assert int(confusions[1][2]) + int(confusions[2][1]) == len(wrong)
    for one in wrong:
        path, _, line = one["place"].rpartition(":")
        assert Path(path).read_text().splitlines()[int(line) - 1] == f"{one['label']},{one['text']}"
        assert one["given"] != one["label"]
    assert [one["probability"] for one in wrong] == sorted((one["probability"] for one in wrong), reverse=True)
    page = (folder / "report.md").read_text()
    assert "| metric | valid | test | test n-grams |" in page
    assert "(report/report.md)" in (classifier.folder / "README.md").read_text()


def test_resumed_training_never_reads_the_data_again(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "reviews.csv", reviews(200))
    whole = train(data, tmp_path / "whole", epochs=3, baseline="ngram")
    events = iter(recurra.tasks.start("classify", config(data, tmp_path / "cut")).events())
    for event in events:
        if type(event).__name__ == "Evaluated":
            break
    events.close()  # type: ignore[attr-defined]
    data.unlink()
    resumed = recurra.train("classify", resume=tmp_path / "cut", on_event=lambda event: None)
    for name, value in whole.model.state_dict().items():
        assert (resumed.model.state_dict()[name] == value).all(), name
    assert metrics(resumed)["test n-grams"] == metrics(whole)["test n-grams"]


def config(data: Path, folder: Path) -> Any:
    from reviews import SMALL

    options = {name: value for name, value in SMALL.items() if name != "on_event"}
    kind = recurra.tasks.find_task("classify").options
    return kind.make(**{**options, "data": data, "output_dir": folder, "epochs": 3, "baseline": "ngram"})


def test_going_on_from_a_model(classifier: ClassifyRun, tmp_path: Path) -> None:
    data = write_csv(tmp_path / "more.csv", reviews(100, seed=5))
    run = train(data, tmp_path / "run", init_from=classifier.folder, epochs=1, learning_rate=1e-6,
                hidden_size=16, embedding_dim=16)  # fmt: skip
    assert run.fitted.classes == classifier.fitted.classes
    assert run.evaluate()["accuracy"] > 0.9
    write_csv(data, [*reviews(100), ("mixed", "so so")])
    with pytest.raises(
        DataError, match=r"more.csv:\d+: label 'mixed' is not in the training data, which has 'negative'"
    ):
        train(data, tmp_path / "other", init_from=classifier.folder)


def test_pretrained_vectors(csv_file: Path, tmp_path: Path) -> None:
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("lovely 1 0 0.5\nfilm 0 1 -0.5\nunseen 9 9 9\n")
    events: list[Any] = []
    options = {"vectors": vectors, "embedding_dim": 100, "lowercase": True, "freeze_embedding": True, "epochs": 1}
    run = train(csv_file, tmp_path / "run", on_event=events.append, **options)
    weight = run.model.encoder.embedding.weight
    for word, vector in {"lovely": [1, 0, 0.5], "film": [0, 1, -0.5]}.items():
        assert weight[run.fitted.input.tokenizer.encode(word)[0]].tolist() == vector
    (coverage,) = [event.facts["vectors"] for event in events if "vectors" in getattr(event, "facts", {})]
    assert coverage.startswith("3 numbers each, 2 of ")
    with pytest.raises(ConfigError, match="vectors has no effect with init_from"):
        train(csv_file, tmp_path / "again", init_from=run.folder, **options)


def test_long_texts(tmp_path: Path) -> None:
    rows = [(label, text + " it" * 10_000) if n == 3 else (label, text) for n, (label, text) in enumerate(reviews(60))]
    data = write_csv(tmp_path / "long.csv", rows)
    run = train(data, tmp_path / "run", epochs=1, max_steps=2, batch_size=4)
    lengths = np.concatenate([part.lengths for part in load_examples(run.folder / "data").values()])
    assert lengths.max() > 10_000
    run = train(data, tmp_path / "cut", epochs=1, max_steps=2, max_length=5)
    assert max(part.lengths.max() for part in load_examples(run.folder / "data").values()) == 5


def test_a_text_of_which_nothing_is_left(csv_file: Path, tmp_path: Path) -> None:
    options = {"stop_words": "english", "punctuation": "drop", "lowercase": True, "epochs": 1}
    run = train(csv_file, tmp_path / "run", **options)
    nothing, empty = run.predict(["the ...", "It was!"])
    assert nothing.probabilities == empty.probabilities


def test_signals(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    lengths = random.integers(5, 12, 120)
    labels = random.choice(["down", "up"], 120)
    series = [np.linspace(0, 1 if label == "up" else -1, steps) for label, steps in zip(labels, lengths, strict=True)]
    values = np.concatenate(series)[:, None] + random.normal(0, 0.1, (int(lengths.sum()), 1))
    np.savez(tmp_path / "a.npz", values=values, lengths=lengths, labels=labels)
    run = train(tmp_path / "a.npz", tmp_path / "run", baseline="auto", epochs=20, embedding_dim=100)
    assert run.evaluate()["accuracy"] > 0.9
    found = run.predict(tmp_path / "a.npz")
    assert np.mean([one.label == label for one, label in zip(found, labels, strict=True)]) > 0.9
    with pytest.raises(DataError, match="series 1: expected numbers"):
        run.predict(["text"])
