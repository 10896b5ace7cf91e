"""Training a language model from a file: from the options to the finished run folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from recurra.backends import explain
from recurra.data import summarise
from recurra.errors import ConfigError
from recurra.models.weights import count_weights
from recurra.tasks.lm.card import model_card
from recurra.tasks.lm.data import Text, is_prepared, prepare
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
    seed_everything,
    train,
)
from recurra.training.checkpoint import checkpoint_paths
from recurra.training.durable import write_text
from recurra.training.memory import enough_memory
from recurra.training.randomness import reproducible
from recurra.training.tensor_files import load_weights

DATA = "data"
SAMPLE = 160  # tokens of the sample shown at each evaluation: two lines of a terminal
REGULARISATION = ("dropout", "recurrent_dropout", "zoneout", "weight_dropout")
OF_THIS_TRAINING = ("data", "valid", "test", "valid_frac", "test_frac", "window", "init_range", "forget_bias")
"""Options of text and network that say nothing of a trained model."""


class LMTraining:
    """One training, ready to go: `events()` runs it, `run` is the trained model."""

    def __init__(
        self,
        config: LMConfig,
        folder: RunFolder,
        text: Text,
        base: LanguageModelRun | None,
        *,
        resumed: bool = False,
    ) -> None:
        """Make the model, with the weights of `base` if there is one, and what trains it."""
        self.config, self.folder, self.text, self.resumed = config, folder, text, resumed
        device = check_device(config.device)
        seed_everything(config.seed)
        with enough_memory(device, "lower --hidden-size, --num-layers or --vocabulary-size"):
            self.model = build(config, text.tokenizer.size).to(device)
        if base is not None:
            load_weights(self.model, base.model.state_dict(), base.folder)
        self.job = self._job()

    @classmethod
    def start(cls, config: LMConfig) -> Self:
        """Check options and data, encode the text, make the run folder. Raises: any RecurraError."""
        base = None if config.init_from is None else LanguageModelRun.load(config.init_from, "cpu")
        config = _settle_paths(config if base is None else inherit(config, base.config))
        assert config.output_dir is not None
        if config.init_from == config.output_dir:
            raise ConfigError(f"{config.output_dir}: is the model to start from; give another --output-dir")
        check_device(config.device)
        build(config, 10, "meta")  # what the network's options get wrong is said before the text is read
        with RunFolder.creating(config.output_dir, config.overwrite) as aside:
            tokenizer = None if base is None else base.tokenizer
            text = prepare(config, aside / DATA, tokenizer)  # the maps into memory outlive the renaming
            training = cls(config, RunFolder(config.output_dir), text, base)
            # What was asked to be replaced is; a run from the saved options must ask again.
            write_text(aside / "config.yaml", config.model_copy(update={"overwrite": False}).to_yaml())
            text.tokenizer.save(aside / TOKENIZER)
        return training

    @classmethod
    def resume(cls, path: Path, data: Path | None = None) -> Self:
        """Go on with the run in a folder, with the options saved there; `data`: where its text is now, if it is needed.

        Raises: any RecurraError.
        """
        config = LMConfig.of_run(path)
        folder = RunFolder(path.absolute())
        if data is not None:
            if is_prepared(folder.path / DATA):
                raise ConfigError(f"{data}: {path} has its text already, in {DATA}; leave it out")
            config = config.model_copy(update={"data": data.absolute()})
        tokenizer = load_tokenizer(folder.path / TOKENIZER)
        base = None
        if config.init_from is not None and not checkpoint_paths(folder.checkpoints):
            base = LanguageModelRun.load(config.init_from, "cpu")
        with folder.locked():
            text = prepare(config, folder.path / DATA, tokenizer)
        return cls(config, folder, text, base, resumed=True)

    @property
    def run(self) -> LanguageModelRun:
        """The trained model, read from the folder."""
        return LanguageModelRun.load(self.folder.path)

    def events(self) -> Iterator[Event]:
        """Summaries of data and model, then the training; at its end the best model is scored on the test text."""
        for summary in (DataSummary(self._data_facts()), ModelSummary(self._model_facts())):
            self.folder.record(summary)
            yield summary
        finished = None
        for event in train(self.job, self.config, self.folder, self.resumed):
            if isinstance(event, Finished):
                finished = event
            else:
                yield event
        assert finished is not None
        with self.folder.locked(), reproducible(self.config):  # after the training has let go of Ctrl-C
            finished = self._finish(finished)
        self.folder.record(finished)
        yield finished

    def _job(self) -> Job:
        config, text = self.config, self.text
        start_id = text.tokenizer.start_id
        if start_id is None:
            return StreamJob(config, self.model, text.train, self._evaluate, self._sample)
        return SentenceJob(config, self.model, text.train, start_id, self._evaluate, self._sample)

    def _evaluate(self) -> dict[str, float]:
        """The measures alone: what it counts in the text is the same each time."""
        metrics = evaluate(self.model, self.config, self.text.tokenizer, self.text.valid, self.config.batch_size)
        return {name: value for name, value in metrics.items() if "_per_" in name}

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
            "stack": stack.describe(),
            "weights": count_weights(self.model)["weights"],
            "device": device,
            "backend": explain(self.config.backend, device.partition(":")[0]),
            "folder": str(self.folder.path),
        }

    def _finish(self, event: Finished) -> Finished:
        """Score the best model on the test text; write metrics and model card."""
        run = self.run
        parts = dict(event.metrics)
        if self.text.test is not None:
            parts["test"] = run.evaluate()
        self.folder.write_metrics({**_read_json(self.folder.path / "metrics.json"), **parts})
        self.folder.write_text("README.md", model_card(run, parts, count_weights(run.model)))
        return Finished(parts, event.seconds, event.folder)


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


def inherit(config: LMConfig, base: LMConfig) -> LMConfig:
    """Take tokens and network from the options of the model in `init_from`, where those given do not say otherwise.

    Raises: ConfigError where they say otherwise about what is fixed by the weights.
    """
    for name in ("init_range", "forget_bias"):
        if getattr(config, name) is not None:
            raise ConfigError(f"{name} has no effect with init_from, whose weights are taken; leave it out")
    groups = LMConfig.groups()
    given = {name: getattr(config, name) for name in config.model_fields_set}
    theirs = {name: getattr(base, name) for name in (*groups["Text"], *groups["Network"], "dtype")}
    for name in (*OF_THIS_TRAINING, *base.replaced()):
        theirs.pop(name, None)
    for name in theirs.keys() & given.keys() - set(REGULARISATION):
        if given[name] != theirs[name]:
            raise ConfigError(
                f"{name}={given[name]}: the model in {config.init_from} has {name}={theirs[name]}; leave it out"
            )
    return LMConfig.make(**{**theirs, **given})
