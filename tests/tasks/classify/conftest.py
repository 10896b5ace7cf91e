"""A classifier trained once for all tests here."""

from __future__ import annotations

from pathlib import Path

import pytest
from reviews import reviews, train, write_csv

from recurra.tasks.classify.run import ClassifyRun


@pytest.fixture(scope="session")
def csv_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(tmp_path_factory.mktemp("reviews") / "reviews.csv", reviews(600))


@pytest.fixture(scope="session")
def classifier(csv_file: Path, tmp_path_factory: pytest.TempPathFactory) -> ClassifyRun:
    return train(csv_file, tmp_path_factory.mktemp("runs") / "reviews", lowercase=True, baseline="ngram")
