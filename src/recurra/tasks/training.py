"""Training a model of any task from a file: from the options to the finished run folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

from recurra.backends import explain
from recurra.data import has_examples
from recurra.errors import ConfigError, DataError
from recurra.models.weights import count_weights
from recurra.tasks.card import About, model_card
from recurra.tasks.folder import config_of_run
from recurra.tasks.inherit import inherit
from recurra.tasks.network import check_device
from recurra.tasks.run import Fitted, Options, Run
from recurra.training import DataSummary, Event, Finished, Job, ModelSummary, RunFolder, seed_everything, train
from recurra.training.checkpoint import checkpoint_paths
from recurra.training.durable import write_text
from recurra.training.memory import enough_memory
from recurra.training.randomness import reproducible
from recurra.training.tensor_files import load_weights

DATA = "data"
"""The folder, in a run folder, of the data as the training reads them."""

Data = TypeVar("Data")
Results = dict[str, dict[str, float]]
"""Metrics by what they are of: a part of the data, and a baseline's name where it is not the model."""


class Measure(NamedTuple):
    """What the loss is, for those who show it: per `unit` (token, example), in `name` (nats), also `usual`ly as."""

    unit: str
    name: str = "nats"
    usual: str | None = None
    """"bits" or "perplexity"."""


class Problem(NamedTuple):
    """Something wrong with the data, as `recurra check` tells it."""

    path: Path
    line: int | None
    what: str


class Training(ABC, Generic[Options, Fitted, Data]):
    """One training, ready to go: `events()` runs it, `run` is the trained model.

    A task states the abstract methods; how a run starts, resumes and ends is written here once.
    """

    run_type: ClassVar[type[Run[Any, Any, Any]]]

    @classmethod
    @abstractmethod
    def prepare(cls, config: Any, folder: Path, fitted: Any | None) -> tuple[Any, Any]:
        """Read the data, learn what is to be known of it besides weights, and leave both in the run folder.

        Args:
            config: the options.
            folder: the run folder, or the one that becomes it: what `Run.load_fitted` reads goes into it, and the data
                as the training reads them into its folder `data`. Where they are there already, they are read from it.
            fitted: of the run that is resumed or that this one starts from; None to learn it from the training part.

        Returns:
            What was learned, and the data.

        Raises: DataError, ConfigError: for data that cannot be used, before any training.
        """

    @abstractmethod
    def make_job(self) -> Job:
        """Batches, loss and evaluation for the training loop."""

    @abstractmethod
    def data_facts(self) -> dict[str, Any]:
        """What is shown of the data before training: counts, lengths, labels, an example as decoded."""

    @classmethod
    def check_network(cls, config: Any) -> None:
        """Refuse what the network's options get wrong, before the data is read. Raises: ConfigError."""

    @classmethod
    def is_prepared(cls, folder: Path) -> bool:
        """Whether `prepare` has left the data in the folder `data` of a run."""
        return has_examples(folder)

    @classmethod
    def problems(cls, config: Any) -> list[Problem]:
        """What is wrong with the data; the first error, unless the task finds more."""
        with TemporaryDirectory(prefix="recurra-") as folder:
            try:
                cls.prepare(config, Path(folder), None)
            except DataError as error:
                assert config.data is not None
                return [Problem(config.data, None, str(error))]
        return []

    @property
    def measure(self) -> Measure:
        """What the loss is."""
        return Measure(self.config.unit_name)

    def fit(self) -> Iterator[Event]:
        """The training itself, which leaves the best model in the folder; its last event is `Finished`."""
        return train(self.job, self.config, self.folder, self.resumed)

    def results(self, run: Any) -> Results:
        """What is measured of the best model at the end, besides validation; baselines beside it."""
        return {}

    def write_report(self, run: Any, results: Results) -> None:
        """Write pictures and tables into the run folder's `report`."""

    @abstractmethod
    def card(self, run: Any) -> About:
        """What the model card says of it."""

    def __init__(
        self, config: Any, folder: RunFolder, fitted: Any, data: Any, base: Any = None, *, resumed: bool = False
    ) -> None:
        """Make the model, with the weights of `base` if there is one, and what trains it."""
        self.config, self.folder, self.fitted, self.data, self.resumed = config, folder, fitted, data, resumed
        device = check_device(config.device)
        seed_everything(config.seed)
        with enough_memory(device, "lower --hidden-size or --num-layers, or keep fewer words"):
            self.model = self.run_type.build(config, fitted).to(device)
        if base is not None:
            load_weights(self.model, base.model.state_dict(), base.folder)
        self.job = self.make_job()

    @classmethod
    def start(cls, config: Any) -> Self:
        """Check options and data, prepare the data, make the run folder. Raises: any RecurraError."""
        base = None if config.init_from is None else cls.run_type.load(config.init_from, "cpu")
        config = settle_paths(config if base is None else inherit(config, base.config))
        if config.init_from == config.output_dir:
            raise ConfigError(f"{config.output_dir}: is the model to start from; give another --output-dir")
        check_device(config.device)
        cls.check_network(config)
        with RunFolder.creating(config.output_dir, config.overwrite) as aside:
            # Maps into the memory of files made here outlive the renaming.
            fitted, data = cls.prepare(config, aside, None if base is None else base.fitted)
            training = cls(config, RunFolder(config.output_dir), fitted, data, base)
            # What was asked to be replaced is; a run from the saved options must ask again.
            write_text(aside / "config.yaml", config.model_copy(update={"overwrite": False}).to_yaml())
        return training

    @classmethod
    def resume(cls, path: Path, data: Path | None = None) -> Self:
        """Go on with the run in a folder, with the options saved there; `data`: where it is now, if it is needed.

        Raises: any RecurraError.
        """
        config: Any = config_of_run(cls.run_type.options, path)
        folder = RunFolder(path.absolute())
        if data is not None:
            if cls.is_prepared(folder.path / DATA):
                raise ConfigError(f"{data}: {path} has its data already, in {DATA}; leave it out")
            config = config.model_copy(update={"data": data.absolute()})
        base = None
        if config.init_from is not None and not checkpoint_paths(folder.checkpoints):
            base = cls.run_type.load(config.init_from, "cpu")
        with folder.locked():
            fitted, prepared = cls.prepare(config, folder.path, cls.run_type.load_fitted(folder.path))
        return cls(config, folder, fitted, prepared, base, resumed=True)

    @property
    def run(self) -> Any:
        """The trained model, read from the folder."""
        return self.run_type.load(self.folder.path)

    def events(self) -> Iterator[Event]:
        """Summaries of data and model, then the training; at its end the best model is measured."""
        for summary in (DataSummary(self.data_facts()), ModelSummary(self.model_facts())):
            self.folder.record(summary)
            yield summary
        finished = None
        for event in self.fit():
            if isinstance(event, Finished):
                finished = event
            else:
                yield event
        assert finished is not None
        with self.folder.locked(), reproducible(self.config):  # after the training has let go of Ctrl-C
            finished = self._finish(finished)
        self.folder.record(finished)
        yield finished

    def model_facts(self) -> dict[str, Any]:
        """What is shown of the model before training."""
        return {
            "stack": self.model.stack.stack.describe(),
            "weights": count_weights(self.model)["weights"],
            "device": self.config.device,
            "backend": explain(self.config.backend, self.config.device.partition(":")[0]),
            "folder": str(self.folder.path),
        }

    def _finish(self, event: Finished) -> Finished:
        """Measure the best model; write metrics, report and model card."""
        run = self.run
        results = {**event.metrics, **self.results(run)}
        self.folder.add_metrics(results)
        self.write_report(run, results)
        self.folder.write_text("README.md", model_card(run, self.card(run), results))
        return Finished(results, event.seconds, event.folder)


def settle_paths(config: Any) -> Any:
    """Paths made absolute, so that a run can be resumed from anywhere, and the output folder named."""
    assert config.data is not None
    paths = {name: value for name, value in dict(config).items() if isinstance(value, Path)}
    update: dict[str, Any] = {name: path.absolute() for name, path in paths.items()}
    update["output_dir"] = (config.output_dir or Path("runs") / f"{config.task}-{stem(config.data)}").absolute()
    return config.model_copy(update=update)


def stem(data: Path) -> str:
    """A file's name without its endings: `corpus` of `corpus.txt.gz`."""
    name = data.absolute().name.removesuffix(".gz")
    return name if data.is_dir() else name.rpartition(".")[0] or name
