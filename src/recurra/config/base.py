"""What every class of options is: frozen, checked, written to YAML and read from it."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from recurra.errors import ConfigError

FORMAT_VERSION = 1

LARGEST = 2**31 - 1
"""What no count exceeds: every library below counts as far."""
WIDEST, DEEPEST = 2**20, 200
"""Units in a layer and layers in a network: beyond, counts of weights overflow and recursions run too deep."""

LONGEST_NAME = 40
"""Characters of a name that a message shows."""

Scalar = bool | int | float | str


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: `; did you mean 'gru'?`, or nothing if none is near."""
    known = list(known)
    close = [one for one in known if one.startswith(name)] or difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {quoted(close[0])}?" if name.strip("-") and close else ""


def quoted(value: Any) -> str:
    """A value from a user's file as a message shows it: text in quotes, cut where it is long.

    >>> quoted("short"), quoted([1, 2])
    ("'short'", '[1, 2]')
    """
    text = value if isinstance(value, str) else str(value)
    text = text if len(text) <= LONGEST_NAME else text[:LONGEST_NAME] + "..."
    return repr(text) if isinstance(value, str) else " ".join(text.split())


def listed(names: Iterable[str], most: int = 8) -> str:
    """The first `most` names as a message shows them.

    >>> listed("abc", 2)
    "'a', 'b', ..."
    """
    names = list(names)
    return ", ".join(map(quoted, names[:most])) + (", ..." if len(names) > most else "")


class Config(BaseModel):
    """Base of every class of options.

    Raises: `make` and `from_yaml` raise ConfigError, one line, for an unknown option (with the nearest known
    one), a value of the wrong type or out of range, and options that contradict each other.

    Example:
        >>> from recurra.config import StackOptions
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
    of_model: ClassVar[tuple[str, ...]] = ()
    """Titles of the groups that say what a trained model is; one that goes on from it takes them over."""

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
            kinds = () if field is None else (field.annotation, *get_args(field.annotation))
            if isinstance(value, bool) and field is not None and bool not in kinds:
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
        """Names of the options by the title of the class that declares them first, in the order of declaration.

        A task that declares an option of `StackOptions` anew, with another default, leaves it in that group.
        """
        bases = [base for base in cls.__mro__ if issubclass(base, Config)]
        home = {name: base for base in bases for name in inspect.get_annotations(base) if name in cls.model_fields}
        groups: dict[str, list[str]] = {}
        for base in bases:
            names = [name for name in inspect.get_annotations(base) if home.get(name) is base]
            if names:
                groups.setdefault(base.__dict__.get("title", "Options"), []).extend(names)
        return groups

    @property
    def unit_name(self) -> str:
        """What a loss is per: "character", "token", "example"."""
        return "token"

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
