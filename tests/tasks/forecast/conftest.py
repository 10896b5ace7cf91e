"""A forecaster trained once for all tests here, and the command line."""

from __future__ import annotations

import shlex
from collections.abc import Callable

import pytest
from made_series import stamp, train, waves, write

from recurra.cli.main import main
from recurra.tasks.forecast.run import ForecastRun


@pytest.fixture(scope="session")
def wave(tmp_path_factory: pytest.TempPathFactory) -> ForecastRun:
    """A model of one series with a day of horizon; its file is beside its folder."""
    path = tmp_path_factory.mktemp("wave") / "wave.csv"
    values = waves(900)
    write(path, "ds,y", ((stamp(hour), f"{value:.5f}") for hour, value in enumerate(values)))
    return train(path, horizon=12, window=48, patch=4)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[[str], tuple[int, str, str]]:
    def run(words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        return main(shlex.split(words)), *capsys.readouterr()

    return run
