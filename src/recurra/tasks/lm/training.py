"""Training a language model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recurra.data import summarise
from recurra.tasks.card import About
from recurra.tasks.lm.data import Text, is_prepared, prepare
from recurra.tasks.lm.job import SentenceJob, StreamJob, evaluate
from recurra.tasks.lm.network import build
from recurra.tasks.lm.options import LMConfig
from recurra.tasks.lm.run import TOKENIZER, LanguageModelRun
from recurra.tasks.training import DATA, Measure, Results, Training
from recurra.text import Tokenizer
from recurra.training import Job

SAMPLE = 160  # tokens of the sample shown at each evaluation: two lines of a terminal


class LMTraining(Training[LMConfig, Tokenizer, Text]):
    """One training of a language model."""

    run_type = LanguageModelRun

    @classmethod
    def prepare(cls, config: LMConfig, folder: Path, fitted: Tokenizer | None) -> tuple[Tokenizer, Text]:
        text = prepare(config, folder / DATA, fitted)
        if not (folder / TOKENIZER).exists():
            text.tokenizer.save(folder / TOKENIZER)
        return text.tokenizer, text

    @classmethod
    def is_prepared(cls, folder: Path) -> bool:
        return is_prepared(folder)

    @classmethod
    def check_network(cls, config: LMConfig) -> None:
        build(config, 10, "meta")

    def make_job(self) -> Job:
        config, text = self.config, self.data
        start_id = text.tokenizer.start_id
        if start_id is None:
            return StreamJob(config, self.model, text.train, self._evaluate, self._sample)
        return SentenceJob(config, self.model, text.train, start_id, self._evaluate, self._sample)

    @property
    def measure(self) -> Measure:
        unit = self.config.unit_name
        return Measure(unit, usual="bits" if unit in ("character", "byte") else "perplexity")

    def data_facts(self) -> dict[str, Any]:
        facts = summarise(self.data.parts, self.data.tokenizer)
        parts = {
            name: f"{part['tokens']:,} {self.config.unit_name}s, {part['lines']:,} lines, "
            f"{part['unknown_rate']:.2%} unknown"
            for name, part in facts["parts"].items()
        }
        source = "this run's folder" if self.config.data is None else str(self.config.data)
        return {"text": source, **parts, "vocabulary": facts["vocabulary"], "example": facts["example"]}

    def results(self, run: LanguageModelRun) -> Results:
        return {} if self.data.test is None else {"test": run.evaluate()}

    def card(self, run: LanguageModelRun) -> About:
        unit = self.config.unit_name
        reads = "from the end of the text" if self.config.direction == "backward" else "forward"
        return About(
            f"A language model over {unit}s. It knows {run.tokenizer.size:,} {unit}s and reads {reads}.",
            [f"generate {run.folder}", f"evaluate {run.folder} FILE"],
            "run.generate(length=200)",
        )

    def _evaluate(self) -> dict[str, float]:
        """The measures alone: what it counts in the text is the same each time."""
        text, config = self.data, self.config
        metrics = evaluate(self.model, config, text.tokenizer, text.valid, config.batch_size)
        return {name: value for name, value in metrics.items() if "_per_" in name}

    def _sample(self) -> str | None:
        run = LanguageModelRun(self.folder.path, self.config, self.fitted, self.model)
        return run.generate(length=SAMPLE, seed=self.config.seed)[0] if run.start else None
