"""Options: frozen classes whose fields are the one place where a default and its help text are written.

The command line's flags, the YAML file, `--help` and the docs are all made from these fields. This module
imports no torch, so that `recurra --help` answers at once.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from recurra.errors import ConfigError

FORMAT_VERSION = 1

LARGEST = 2**31 - 1
"""What no count exceeds: every library below counts as far."""
WIDEST, DEEPEST = 2**20, 200
"""Units in a layer and layers in a network: beyond, counts of weights overflow and recursions run too deep."""

Scalar = bool | int | float | str


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: `; did you mean 'gru'?`, or nothing if none is near."""
    known = list(known)
    close = [one for one in known if one.startswith(name)] or difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if name.strip("-") and close else ""


class Config(BaseModel):
    """Base of every class of options.

    Raises: `make` and `from_yaml` raise ConfigError, one line, for an unknown option (with the nearest known
    one), a value of the wrong type or out of range, and options that contradict each other.

    Example:
        >>> StackOptions.make(cell="gru", hidden_size=128).num_layers
        2
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        allow_inf_nan=False,
        defer_build=True,  # `--help` reads the fields only
    )

    title: ClassVar[str] = ""
    """Heading of the group in the help pages."""
    task: ClassVar[str] = ""
    """Name of the task whose options these are; it stands in the YAML file."""

    @classmethod
    def make(cls, **values: Any) -> Self:
        """The config with these values, every other option at its default."""
        try:
            return cls(**values)
        except ValidationError as error:
            raise ConfigError(cls._message(error)) from None

    @model_validator(mode="before")
    @classmethod
    def _check_values(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Refuse what pydantic would take: true for the number 1, and text that no UTF-8 file can hold."""
        for name, value in values.items():
            field = cls.model_fields.get(name)
            if isinstance(value, bool) and field is not None and field.annotation is not bool:
                raise ConfigError(f"{name}: must not be true or false, got {value}")
            if not str(value).isascii() and str(value) != str(value).encode(errors="replace").decode():
                raise ConfigError(f"{name}: must be Unicode text, got {str(value)!a}; give it as UTF-8")
        return values

    @classmethod
    def _message(cls, error: ValidationError) -> str:
        first = error.errors(include_url=False)[0]
        place, value, kind = first["loc"], first["input"], first["type"]
        name = str(place[0]) if place else ""
        if kind == "extra_forbidden":
            return f"unknown option {name!r}{nearest(name, cls.model_fields)}"
        if kind == "value_error":
            return str(first["ctx"]["error"])
        if name == "cell_options" and len(place) > 1:
            return f"{name}.{place[1]}: must be true, false, a number or text, got {value!r}"
        message = re.sub(r"^\w+ should", "must", first["msg"]).replace("Input is", "is")
        if kind == "literal_error" and isinstance(value, str):
            return f"{name}: {message}, got {value!r}{nearest(value, get_args(cls.model_fields[name].annotation))}"
        expected = re.split(", | for <| after validation", message)[0]
        return f"{name}: {expected}, got {value!r}"

    @classmethod
    def groups(cls) -> dict[str, list[str]]:
        """Names of the options by the title of the class that declares them, in the order of declaration."""
        groups: dict[str, list[str]] = {}
        for base in cls.__mro__:
            names = [name for name in inspect.get_annotations(base) if name in cls.model_fields]
            if names:
                groups.setdefault(base.__dict__.get("title", "Options"), []).extend(names)
        return groups

    def changed(self) -> dict[str, Any]:
        """The options that differ from their defaults, as plain values for YAML, in the groups' order."""
        plain = self.model_dump(mode="json")
        names = [name for group in self.groups().values() for name in group]
        return {
            name: plain[name]
            for name in names
            if getattr(self, name) != type(self).model_fields[name].get_default(call_default_factory=True)
        }

    def to_yaml(self) -> str:
        """Every option that is in force, one `name: value` per line, between the format's version and `...`."""
        plain = self.model_dump(mode="json", exclude=self.replaced())
        ordered = {name: plain[name] for group in self.groups().values() for name in group if name in plain}
        head = {"format_version": FORMAT_VERSION, **({"task": self.task} if self.task else {})}
        return yaml.safe_dump({**head, **ordered}, sort_keys=False, allow_unicode=True, explicit_end=True)

    def replaced(self) -> set[str]:
        """Options that another option stands in for; they are not written."""
        return set()

    @classmethod
    def from_yaml(cls, path: Path | str, **values: Any) -> Self:
        """The config in a YAML file; `values` given here win over the file's. What the file gets wrong names it."""
        options = read_yaml(path)
        task = options.pop("task", cls.task)
        if task != cls.task:
            raise ConfigError(f"{path}: options of task {task!r}, expected those of {cls.task!r}")
        for name in options.keys() - cls.model_fields.keys():
            raise ConfigError(f"{path}: unknown option {name!r}{nearest(name, cls.model_fields)}")
        try:
            return cls.make(**{**options, **values})
        except ConfigError as error:
            (named,) = re.findall(r"^\w*", str(error))
            raise ConfigError(f"{path}: {error}" if named in options.keys() - values.keys() else str(error)) from None


def read_yaml(path: Path | str) -> dict[str, Any]:
    """The options in a YAML file, unchecked but for the format's version.

    Raises: ConfigError for a file that cannot be read, is not a list of `name: value` lines, or was written
    in a later format.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a YAML file of options") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}; give a YAML file of options") from None
    except yaml.reader.ReaderError as error:
        raise ConfigError(f"{path}: not YAML (it has the character {chr(error.character)!r})") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: not YAML ({error.problem})") from None
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        found = values if values is None or isinstance(values, dict) else f"a {type(values).__name__}"
        raise ConfigError(f"{path}: expected lines of the form `hidden_size: 256`, got {found}")
    version = values.pop("format_version", FORMAT_VERSION)
    if version != FORMAT_VERSION:
        raise ConfigError(f"{path}: format_version {version!r}, this recurra reads {FORMAT_VERSION}; update recurra")
    return values


def check_needs(config: Config, needs: Mapping[str, tuple[str, tuple[str, ...]]]) -> None:
    """Refuse an option that would have no effect: `name: (other, values of other that give it one)`."""
    for name, (other, values) in needs.items():
        default = type(config).model_fields[name].get_default()
        if getattr(config, name) != default and getattr(config, other) not in values:
            raise ConfigError(
                f"{name} has no effect with {other}={getattr(config, other)}; it needs {other}={' or '.join(values)}"
            )


class TextOptions(Config):
    """What text is read and how it becomes tokens."""

    title: ClassVar[str] = "Text"

    data: Path | None = Field(None, description="Text file to train on, or a folder with train, valid and test.")
    valid: Path | None = Field(None, description="Validation file; without it, a part of the data.")
    test: Path | None = Field(None, description="Test file; with no validation file either, a part of the data.")
    valid_frac: float = Field(0.05, ge=0, lt=1, description="Share of the data, by position, for validation.")
    test_frac: float = Field(0.05, ge=0, lt=1, description="Share of the data, by position, for the test.")
    unit: Literal["char", "word", "bpe", "byte"] = Field("char", description="What a token is.")
    split: Literal["punctuation", "space"] = Field(
        "punctuation", description="Where words end: at punctuation and space, or at space only."
    )
    lowercase: bool = Field(False, description="Turn the text to lower case.")
    number_token: bool = Field(False, description="Replace every number by the one word [number].")
    min_count: int = Field(1, ge=1, description="Rarer tokens become [UNK].")
    vocabulary_size: int | None = Field(
        None,
        ge=2,
        description="Keep this many tokens, the most frequent (for bpe: learn this many; 8000 if unset).",
    )
    mode: Literal["stream", "sentences"] = Field(
        "stream",
        description="Running text with carried state, or each line on its own with start and stop symbols.",
    )
    window: int | None = Field(
        None, ge=1, le=LARGEST, description="Slide a window of this many tokens over each sentence (mode sentences)."
    )

    @model_validator(mode="after")
    def _check_text(self) -> Self:
        if self.valid_frac + self.test_frac >= 1:
            raise ConfigError(f"valid_frac + test_frac must be less than 1, got {self.valid_frac} + {self.test_frac}")
        for part in ("valid", "test"):
            name = f"{part}_frac"
            if getattr(self, part) is not None and getattr(self, name) != type(self).model_fields[name].default:
                raise ConfigError(f"{name} has no effect with {part}={getattr(self, part)}; leave one of them out")
        check_needs(
            self,
            {
                "window": ("mode", ("sentences",)),
                "split": ("unit", ("word",)),
                "lowercase": ("unit", ("word",)),
                "number_token": ("unit", ("word",)),
                "min_count": ("unit", ("char", "word", "bpe")),
                "vocabulary_size": ("unit", ("char", "word", "bpe")),
            },
        )
        return self


class StackOptions(Config):
    """The network: embedding, recurrent layers, output layer."""

    title: ClassVar[str] = "Network"

    cell: str = Field("lstm", description="Recurrent cell, by name.")
    cell_options: dict[str, Scalar] = Field(
        {}, description="Options of the cell's equations, as name=value: peephole=true projection=64."
    )
    embedding: Literal["learned", "one-hot"] = Field("learned", description="What stands for a token at the input.")
    embedding_dim: int | None = Field(
        None, ge=1, le=WIDEST, description="Width of the embedding; unset: hidden_size, or what tie_weights needs."
    )
    hidden_size: int = Field(256, ge=1, le=WIDEST, description="Units in each layer.")
    num_layers: int = Field(2, ge=1, le=DEEPEST, description="Recurrent layers.")
    sizes: list[int] | None = Field(
        None,
        min_length=1,
        max_length=DEEPEST,
        description="Units of each layer, in place of hidden_size and num_layers: 512 256.",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout between layers, at input and output.")
    recurrent_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the state, one mask per sequence.")
    zoneout: float = Field(0.0, ge=0, lt=1, description="Chance that a unit keeps its last state.")
    weight_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on the recurrent weights.")
    residual: bool = Field(False, description="Add each layer's input to its output.")
    skip: bool = Field(False, description="Connect the input to every layer and every layer to the output.")
    dilation: list[int] | None = Field(
        None,
        min_length=1,
        description="Steps back to the state a layer sees; one for all, or one per layer: 1 2 4.",
    )
    recompute: bool = Field(
        False, description="Keep states every sqrt(T) steps and compute the rest again: less memory, more time."
    )
    tie_weights: bool = Field(False, description="Use one matrix for the embedding and the output layer.")
    direction: Literal["forward", "backward"] = Field(
        "forward", description="Predict the next token, or the one before."
    )
    init_range: float | None = Field(None, gt=0, description="Draw every weight from U(-r, r).")
    forget_bias: float | None = Field(None, description="Initial bias of the forget gate.")

    @model_validator(mode="after")
    def _check_stack(self) -> Self:
        for name in ("sizes", "dilation"):
            if any(not 1 <= number <= WIDEST for number in getattr(self, name) or ()):
                raise ConfigError(f"{name}: each must be from 1 to {WIDEST}, got {getattr(self, name)}")
        given = self.model_fields_set & {"hidden_size", "num_layers"}
        if self.sizes is not None and given:
            raise ConfigError(f"sizes gives the units of each layer; leave out {' and '.join(sorted(given))}")
        layers = len(self.sizes or []) or self.num_layers
        if self.dilation is not None and len(self.dilation) not in (1, layers):
            raise ConfigError(f"dilation: expected 1 number or {layers}, one per layer, got {self.dilation}")
        if self.tie_weights and self.embedding == "one-hot":
            raise ConfigError("tie_weights needs embedding=learned: a one-hot input has no matrix to share")
        if self.embedding_dim is not None and self.embedding == "one-hot":
            raise ConfigError("embedding_dim has no effect with embedding=one-hot; leave it out")
        return self

    def replaced(self) -> set[str]:
        return set() if self.sizes is None else {"hidden_size", "num_layers"}


class TrainingOptions(Config):
    """How any model is trained; names no task."""

    title: ClassVar[str] = "Training"

    optimizer: Literal["sgd", "adagrad", "rmsprop", "adam", "adamw", "nt-asgd"] = Field(
        "adam", description="Optimiser."
    )
    learning_rate: float = Field(2e-3, gt=0, description="Learning rate at the start.")
    weight_decay: float = Field(0.0, ge=0, description="Pull of every weight towards zero.")
    momentum: float = Field(0.0, ge=0, lt=1, description="Momentum of sgd and rmsprop.")
    eps: float | None = Field(None, gt=0, description="What keeps the optimiser from dividing by zero.")
    adagrad_eps_inside: bool = Field(False, description="Divide by sqrt(m + eps), not sqrt(m) + eps.")
    averaging_patience: int = Field(
        5, ge=1, description="nt-asgd averages once this many evaluations bring no improvement."
    )
    batch_size: int = Field(32, ge=1, le=LARGEST, description="Rows trained side by side.")
    bptt: int = Field(64, ge=1, le=LARGEST, description="Steps between updates (k1).")
    bptt_window: int | None = Field(
        None, ge=1, le=LARGEST, description="Steps that gradients flow back (k2), at least bptt; unset: bptt."
    )
    accumulate: int = Field(1, ge=1, le=LARGEST, description="Batches whose gradients make one update.")
    loss_reduction: Literal["mean", "sum"] = Field(
        "mean",
        description="Loss over the steps of a chunk: their mean or their sum; over rows always the mean.",
    )
    epochs: int = Field(10, ge=1, description="Passes over the data.")
    max_steps: int | None = Field(None, ge=1, description="Stop after this many updates.")
    patience: int | None = Field(None, ge=1, description="Stop after this many evaluations without improvement.")
    schedule: Literal["constant", "step", "plateau", "cosine"] = Field(
        "constant", description="How the learning rate falls."
    )
    warmup_steps: int = Field(0, ge=0, description="Updates over which the learning rate rises from zero.")
    decay_factor: float = Field(0.5, gt=0, lt=1, description="Factor of each fall (step, plateau).")
    decay_after: int = Field(4, ge=0, description="Epochs at full rate before a fall per epoch (step).")
    decay_patience: int = Field(1, ge=0, description="Evaluations without improvement before a fall (plateau).")
    min_learning_rate: float = Field(0.0, ge=0, description="The learning rate falls no lower.")
    max_grad_norm: float | None = Field(5.0, gt=0, description="Scale gradients down to this norm; none: never.")
    clip_grad_value: float | None = Field(None, gt=0, description="Cut each gradient at plus and minus this.")
    seed: int = Field(1, ge=0, lt=2**63, description="Seed of every random number.")
    deterministic: bool = Field(True, description="Same seed, same weights, to the bit.")
    dtype: Literal["float32", "float64"] = Field("float32", description="Type of the weights.")
    device: str = Field("cpu", description="Where to compute: cpu, cuda, cuda:1.")
    backend: str | None = Field(None, description="Backend that runs the cells; unset: the fastest at hand.")
    threads: int | None = Field(None, ge=1, le=1024, description="Threads to compute with; unset: torch's choice.")
    eval_every: int | None = Field(None, ge=1, description="Updates between evaluations; unset: one per epoch.")
    save_every: int | None = Field(None, ge=1, description="Updates between checkpoints; unset: one per evaluation.")
    save_seconds: float = Field(60.0, gt=0, description="Save a checkpoint at least this often, in seconds.")
    log_every: int = Field(50, ge=1, description="Updates between reports.")
    init_from: Path | None = Field(None, description="Folder of a trained model whose weights to start from.")
    output_dir: Path | None = Field(None, description="Folder for the model; unset: made from task and data.")
    overwrite: bool = Field(False, description="Replace the output folder if it exists.")

    @model_validator(mode="after")
    def _check_training(self) -> Self:
        if self.bptt_window is not None and self.bptt_window < self.bptt:
            raise ConfigError(f"bptt_window must be at least bptt, got {self.bptt_window} with bptt={self.bptt}")
        if self.min_learning_rate > self.learning_rate:
            raise ConfigError(
                f"min_learning_rate must be at most learning_rate, {self.learning_rate}, got {self.min_learning_rate}"
            )
        check_needs(
            self,
            {
                "momentum": ("optimizer", ("sgd", "rmsprop")),
                "eps": ("optimizer", ("adagrad", "rmsprop", "adam", "adamw")),
                "adagrad_eps_inside": ("optimizer", ("adagrad",)),
                "averaging_patience": ("optimizer", ("nt-asgd",)),
                "decay_factor": ("schedule", ("step", "plateau")),
                "decay_after": ("schedule", ("step",)),
                "decay_patience": ("schedule", ("plateau",)),
                "min_learning_rate": ("schedule", ("step", "plateau", "cosine")),
            },
        )
        return self


class GenerationOptions(Config):
    """How text is generated from a trained model."""

    title: ClassVar[str] = "Generation"

    length: int = Field(200, ge=1, le=LARGEST, description="Tokens to generate, at most.")
    n: int = Field(1, ge=1, le=LARGEST, description="Samples.")
    temperature: float = Field(1.0, gt=0, description="Below 1: safer; above 1: bolder.")
    top_k: int | None = Field(None, ge=1, le=LARGEST, description="Choose among the k likeliest tokens.")
    top_p: float | None = Field(None, gt=0, le=1, description="Choose among the likeliest with this probability.")
    greedy: bool = Field(False, description="Always take the likeliest token.")
    seed: int | None = Field(None, ge=0, lt=2**63, description="Seed of the choices; unset: another each time.")
    stop: str | None = Field(None, min_length=1, description="End a sample where this text appears.")

    @model_validator(mode="after")
    def _check_generation(self) -> Self:
        if self.greedy:
            for name in ("n", "temperature", "top_k", "top_p", "seed"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ConfigError(f"{name} has no effect with greedy; leave one of them out")
        return self
