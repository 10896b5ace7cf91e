"""Training a language model from a file: from the options to the finished run folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from recurra.backends import explain
from recurra.data import summarise
from recurra.errors import ConfigError
from recurra.models.weights import count_weights
from recurra.tasks.lm.card import model_card
from recurra.tasks.lm.data import Text, prepare
from recurra.tasks.lm.job import SentenceJob, StreamJob, evaluate
from recurra.tasks.lm.network import build, check_device
from recurra.tasks.lm.options import LMConfig
from recurra.tasks.lm.run import TOKENIZER, LanguageModelRun
from recurra.text import load_tokenizer
from recurra.training import (
    DataSummary,
    Event,
    Finished,
    Job,
    ModelSummary,
    RunFolder,
    read_weights,
    seed_everything,
    train,
)
from recurra.training.run_folder import check_free
from recurra.training.tensor_files import load_weights

DATA = "data"
SAMPLE = 160  # tokens of the sample shown at each evaluation: two lines of a terminal
REGULARISATION = ("dropout", "recurrent_dropout", "zoneout", "weight_dropout")


class LMTraining:
    """One training, ready to go: `events()` runs it, `run` is the trained model."""

    def __init__(self, config: LMConfig, folder: RunFolder, text: Text, resumed: bool) -> None:
        self.config, self.folder, self.text, self.resumed = config, folder, text, resumed
        seed_everything(config.seed)
        self.model = build(config, text.tokenizer.size).to(check_device(config.device))
        if config.init_from is not None:
            path = config.init_from / "model.safetensors"
            load_weights(self.model, read_weights(path), path)
        self.job = self._job()

    @classmethod
    def start(cls, config: LMConfig) -> Self:
        """Check options and data, encode the text, make the run folder. Errors: any RecurraError."""
        check_device(config.device)
        tokenizer = None
        if config.init_from is not None:
            config = inherit(config)
            assert config.init_from is not None
            tokenizer = load_tokenizer(config.init_from / TOKENIZER)
        config = _settle_paths(config)
        assert config.output_dir is not None
        check_free(config.output_dir, config.overwrite)
        build(config, 10, "meta")  # what the network's options get wrong is said before the text is read
        aside = config.output_dir.with_name(f".{config.output_dir.name}.{DATA}.writing")
        shutil.rmtree(aside, ignore_errors=True)
        try:
            text = prepare(config, aside, tokenizer)
            files = {"config.yaml": config.to_yaml(), TOKENIZER: json.dumps(text.tokenizer.to_json())}
            folder = RunFolder.create(config.output_dir, files, config.overwrite)
            aside.rename(folder.path / DATA)  # the maps stay valid
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return cls(config, folder, text, resumed=False)

    @classmethod
    def resume(cls, path: Path, config: LMConfig) -> Self:
        """Go on with the run in a folder, with the options saved there. Errors: any RecurraError."""
        folder = RunFolder.open(path)
        tokenizer = load_tokenizer(folder.path / TOKENIZER)
        return cls(config, folder, prepare(config, folder.path / DATA, tokenizer), resumed=True)

    @property
    def run(self) -> LanguageModelRun:
        """The trained model, read from the folder."""
        return LanguageModelRun.load(self.folder.path)

    def events(self) -> Iterator[Event]:
        """Summaries of data and model, then the training; at its end the best model is scored on the test text."""
        for summary in (DataSummary(self._data_facts()), ModelSummary(self._model_facts())):
            self.folder.record(summary)
            yield summary
        for event in train(self.job, self.config, self.folder, self.resumed):
            yield self._finish(event) if isinstance(event, Finished) else event

    def _job(self) -> Job:
        config, text = self.config, self.text
        start_id = text.tokenizer.start_id
        if start_id is None:
            return StreamJob(config, self.model, text.train, self._evaluate, self._sample)
        return SentenceJob(config, self.model, text.train, start_id, self._evaluate, self._sample)

    def _evaluate(self) -> dict[str, float]:
        return evaluate(self.model, self.config, self.text.tokenizer, self.text.valid, self.config.batch_size)

    def _sample(self) -> str | None:
        run = LanguageModelRun(self.folder.path, self.config, self.text.tokenizer, self.model)
        return run.generate(length=SAMPLE, seed=self.config.seed)[0] if run.start else None

    def _data_facts(self) -> dict[str, Any]:
        facts = summarise(self.text.parts, self.text.tokenizer)
        parts = {
            name: f"{part['tokens']:,} {self.config.unit_name}s, {part['lines']:,} lines, "
            f"{part['unknown_rate']:.2%} unknown"
            for name, part in facts["parts"].items()
        }
        source = "this run's folder" if self.config.data is None else str(self.config.data)
        return {"text": source, **parts, "vocabulary": facts["vocabulary"], "example": facts["example"]}

    def _model_facts(self) -> dict[str, Any]:
        stack, device = self.model.stack.stack, self.config.device
        return {
            "cell": f"{stack.cell.name}{_options(stack.options)}, layers of {', '.join(map(str, stack.sizes))}",
            "weights": count_weights(self.model)["weights"],
            "device": device,
            "backend": explain(self.config.backend, device.partition(":")[0]),
            "folder": str(self.folder.path),
        }

    def _finish(self, event: Finished) -> Finished:
        """Score the best model on the test text; write metrics and model card."""
        run = self.run
        parts = {"valid": dict(event.metrics)}
        if self.text.test is not None:
            parts["test"] = run.evaluate()
        self.folder.write_metrics({**_read_json(self.folder.path / "metrics.json"), **parts})
        self.folder.write_text("README.md", model_card(run, parts, count_weights(run.model)))
        flat = {f"{part}_{name}": value for part, metrics in parts.items() for name, value in metrics.items()}
        return Finished(flat, event.seconds, event.folder)


def _options(options: tuple[tuple[str, Any], ...]) -> str:
    given = [name if value is True else f"{name} {value}" for name, value in options if value]
    return f" ({', '.join(given)})" if given else ""


def _read_json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {name: found[name] for name in ("step", "epoch") if name in found}


def _settle_paths(config: LMConfig) -> LMConfig:
    """Paths made absolute, so that a run can be resumed from anywhere, and the output folder named."""
    assert config.data is not None
    names = ("data", "valid", "test", "init_from")
    update: dict[str, Any] = {name: Path(value).absolute() for name in names if (value := getattr(config, name))}
    stem = config.data.absolute().name.removesuffix(".gz").removesuffix(".txt")
    update["output_dir"] = (config.output_dir or Path("runs") / f"{config.task}-{stem}").absolute()
    return config.model_copy(update=update)


def inherit(config: LMConfig) -> LMConfig:
    """Take tokens and network from the model in `init_from`, where the options do not say otherwise.

    Errors: ConfigError where they say otherwise about what is fixed by the weights.
    """
    assert config.init_from is not None
    base = LanguageModelRun.read_config(config.init_from)
    update = {}
    for title, names in LMConfig.groups().items():
        for name in names if title in ("Text", "Network") else ():
            if name in ("data", "valid", "test", "valid_frac", "test_frac", "window", "init_range", "forget_bias"):
                continue
            given, theirs = getattr(config, name), getattr(base, name)
            if name not in config.model_fields_set:
                update[name] = theirs
            elif given != theirs and name not in REGULARISATION:
                raise ConfigError(f"{name}={given}: the model in {config.init_from} has {name}={theirs}; leave it out")
    return config.model_copy(update=update)
