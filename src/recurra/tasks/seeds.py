"""The same training with several seeds: what of a result is chance."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from recurra.tasks import start
from recurra.tasks.training import Measure, Results, Training, settle_paths
from recurra.text.strict_json import to_json
from recurra.training import Event, Finished, Repeated, Stopped
from recurra.training.durable import write_text

SUMMARY = "seeds.json"


class SeveralSeeds:
    """The same training `count` times, with the config's seed and those after it, each in a folder of its own in the
    output folder. The first is prepared at once.

    Raises: any RecurraError.
    """

    def __init__(self, task: str, config: Any, count: int) -> None:
        self.task, self.config = task, config
        self.folder = settle_paths(config).output_dir
        self.seeds = [config.seed + place for place in range(count)]
        self._first = self._start(self.seeds[0])

    @property
    def measure(self) -> Measure:
        """What the loss is."""
        return self._first.measure

    def events(self) -> Iterator[Event]:
        """Those of each training.

        The last event, and `seeds.json` beside the folders, has mean and standard deviation of every metric. A signal
        ends the training that runs and those that would follow; there is no summary then.
        """
        results: list[Results] = []
        for seed in self.seeds:
            training = self._first if seed == self.seeds[0] else self._start(seed)
            interrupted = False
            for event in training.events():
                yield event
                if isinstance(event, Finished):
                    results.append(event.metrics)
                interrupted |= isinstance(event, Stopped) and event.interrupted
            if interrupted:
                return
        yield summarise_seeds(self.seeds, results, self.folder)

    def _start(self, seed: int) -> Training[Any, Any, Any]:
        place = self.folder / f"seed-{seed}"
        return start(self.task, self.config.model_copy(update={"seed": seed, "output_dir": place}))


def summarise_seeds(seeds: Sequence[int], results: Sequence[Results], folder: Path) -> Repeated:
    """Mean and sample standard deviation (0 of one run) of every metric of every part; also written to the folder.

    Both are NaN, null in the file, for a metric that is infinite or NaN in some run.
    """
    means: Results = {}
    deviations: Results = {}
    for part, metrics in results[0].items():
        values = {name: [result[part][name] for result in results] for name in metrics}
        summaries = {name: _mean_and_deviation(each) for name, each in values.items()}
        means[part] = {name: mean for name, (mean, _) in summaries.items()}
        deviations[part] = {name: deviation for name, (_, deviation) in summaries.items()}
    summary = {"seeds": list(seeds), "mean": means, "deviation": deviations, "runs": list(results)}
    write_text(folder / SUMMARY, to_json(summary, indent=2) + "\n")
    return Repeated(means, deviations, tuple(seeds), folder)


def _mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    if not all(map(math.isfinite, values)):
        return math.nan, math.nan
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0
