"""An option that is accepted has an effect: on the weights, on what happens and when, or on what is written.

What is done with each is in `option_effects`, a table for every task.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from option_effects import classify, forecast, lm, tag
from option_effects.shared import UNSEEN

import recurra
from recurra.config import Config
from recurra.errors import ConfigError, RecurraError
from recurra.tasks import TASKS
from recurra.training import DataSummary, ModelSummary, to_dict

TABLES: dict[str, ModuleType] = {"lm": lm, "classify": classify, "tag": tag, "forecast": forecast}
SHARED = {"Network", "Training"}
"""Groups of options that are looked at as a whole with language models, and in part with all others."""
TIMED = {"seconds", "eta_seconds", "tokens_per_second", "folder", "path"}

Options = dict[str, Any]


class Trained:
    """A training: the run, and the events, apart from times and from what says what the options are."""

    def __init__(self, task: str, options: Options, folder: Path) -> None:
        table, events = TABLES[task], []
        values = {
            name: one for name, one in {**table.SMALL, **options}.items() if one is not None or name not in table.SMALL
        }
        self.run = recurra.train(task, output_dir=folder, on_event=events.append, **values)
        seen = [to_dict(event) for event in events if not isinstance(event, DataSummary | ModelSummary)]
        self.events = [{name: value for name, value in event.items() if name not in TIMED} for event in seen]

    @property
    def outcome(self) -> str:
        """As text, in which NaN is itself."""
        return repr([self.events, {name: weight.tolist() for name, weight in self.run.model.state_dict().items()}])


Train = Callable[[str, Options], Trained]


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Train]:
    """Trains in a folder of the task that has its files; what was trained once is remembered."""
    places: dict[str, Path] = {}
    found: dict[str, Trained] = {}
    numbers = count()
    with pytest.MonkeyPatch.context() as patch:

        def remembered(task: str, options: Options) -> Trained:
            new = task not in places
            place = places.setdefault(task, tmp_path_factory.mktemp(task) if new else Path())
            patch.chdir(place)
            if new:
                TABLES[task].write()
                for name, value in TABLES[task].QUICK.items():
                    patch.setattr(name, value)
            key = repr((task, options))
            if key not in found:
                found[key] = Trained(task, options, place / f"run{next(numbers)}")
            return found[key]

        yield remembered


def each(name: str) -> list[Any]:
    """The rows of all tables of that name, with the task first."""
    rows = [(task, *row) for task, table in TABLES.items() for row in getattr(table, name)]
    return [pytest.param(*row, id=" ".join(map(str, row))) for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize(("task", "others", "option"), each("EFFECTS"))
def test_the_option_has_an_effect(task: str, others: Options, option: Options, train: Train) -> None:
    assert train(task, {**others, **option}).outcome != train(task, others).outcome


@pytest.mark.slow
@pytest.mark.parametrize(("task", "others", "option"), each("NEEDED"))
def test_the_option_is_needed(task: str, others: Options, option: Options, train: Train) -> None:
    train(task, {**others, **option})
    with pytest.raises(RecurraError):
        train(task, others)


@pytest.mark.parametrize(("task", "others", "option"), each("USELESS"))
def test_an_option_without_effect_is_refused(task: str, others: Options, option: Options, train: Train) -> None:
    with pytest.raises(ConfigError, match="has no effect"):
        train(task, {**others, **option})


def made(act: Callable[[], Any]) -> list[Any]:
    """What an act returns, and the files that it makes in the folder `made`."""
    shutil.rmtree("made", ignore_errors=True)
    Path("made").mkdir()
    given = act()
    return [given, {path.name: path.read_bytes() for path in sorted(Path("made").rglob("*")) if path.is_file()}]


@pytest.mark.slow
@pytest.mark.parametrize(("task", "trained", "file", "others", "option"), each("PREDICTIONS"))
def test_the_option_changes_predictions(
    task: str, trained: Options, file: str, others: Options, option: Options, train: Train
) -> None:
    run, kind = train(task, trained).run, TASKS[task].prediction
    assert kind is not None

    def predict(options: Options) -> list[Any]:
        return made(lambda: "".join(run.write_predictions(Path(file), kind.make(**options))))

    assert predict({**others, **option}) != predict(others)


@pytest.mark.slow
@pytest.mark.parametrize(("task", "trained", "file", "others", "option"), each("EVALUATIONS"))
def test_the_option_changes_evaluation(
    task: str, trained: Options, file: str | None, others: Options, option: Options, train: Train
) -> None:
    run = train(task, trained).run

    def evaluate(options: Options) -> str:
        return repr(made(lambda: run.evaluate(file, **options)))

    assert evaluate({**others, **option}) != evaluate(others)


@pytest.mark.parametrize("task", TASKS)
def test_the_same_seed_gives_the_same_model(task: str, train: Train) -> None:
    """To the bit; and so what differs above differs by the option."""
    assert train(task, {"seed": 7}).outcome == train(task, {"seed": 7, "overwrite": True}).outcome


@pytest.mark.parametrize("task", TASKS)
def test_every_option_is_looked_at(task: str) -> None:
    table, options = TABLES[task], TASKS[task].options
    looked_at = {name for _, option in [*table.EFFECTS, *table.NEEDED] for name in option}
    shared = {name for title in SHARED for name in options.groups()[title]} if task != "lm" else set()
    assert looked_at | table.ELSEWHERE | UNSEEN | shared == set(options.model_fields)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("rows", "verb"), [("PREDICTIONS", "prediction"), ("EVALUATIONS", "evaluation")])
def test_every_option_of_a_verb_is_looked_at(task: str, rows: str, verb: str) -> None:
    kind: type[Config] | None = getattr(TASKS[task], verb)
    looked_at = {name for *_, option in getattr(TABLES[task], rows) for name in option}
    assert looked_at == (set(kind.model_fields) if kind else set())
