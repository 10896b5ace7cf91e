"""Models trained once for all tests here."""

from __future__ import annotations

from pathlib import Path

import pytest
from stories import story, train

from recurra.tasks.lm.run import LanguageModelRun


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "story.txt"
    path.write_text(story(400), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def characters(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> LanguageModelRun:
    return train(corpus, tmp_path_factory.mktemp("runs") / "char", epochs=2)


@pytest.fixture(scope="session")
def words(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> LanguageModelRun:
    return train(corpus, tmp_path_factory.mktemp("runs") / "word", epochs=4, unit="word", mode="sentences")
