"""From a class of options to flags: `hidden_size: int = 256` becomes `--hidden-size [default: 256]`."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import yaml
from cyclopts import Group, Parameter
from pydantic.fields import FieldInfo

from recurra.config import Config
from recurra.errors import ConfigError

Command = Callable[..., Any]
AnyConfig = TypeVar("AnyConfig", bound=Config)


def takes_options(*configs: type[Config], skip: Iterable[str] = ()) -> Callable[[Command], Command]:
    """Decorate a command `f(..., **given)` so that it takes one flag per option of `configs`.

    Only the flags that were on the command line arrive in `given`: the defaults stay in the config, where
    a file's values can come between. Options in `skip` and those `f` names itself get no flag; one that several configs
    have gets one, which takes what any of them takes.
    """

    def decorate(command: Command) -> Command:
        declared = inspect.signature(command, eval_str=True).parameters.values()
        own = [parameter for parameter in declared if parameter.kind is not parameter.VAR_KEYWORD]
        taken = {*skip, *(parameter.name for parameter in own)}
        groups = [(title, names) for config in configs for title, names in config.groups().items()]
        flags: dict[str, inspect.Parameter] = {}
        for place, (title, names) in enumerate(groups, start=1):
            for name in names:
                if name not in taken and name not in flags:
                    having = [config.model_fields[name] for config in configs if name in config.model_fields]
                    flags[name] = _flag(name, having, Group(title, sort_key=place))
        command.__signature__ = inspect.Signature([*own, *flags.values()])  # type: ignore[attr-defined]
        return command

    return decorate


def _flag(name: str, having: Sequence[FieldInfo], group: Group) -> inspect.Parameter:
    defaults = [field.get_default(call_default_factory=True) for field in having]
    default = defaults[0] if all(one == defaults[0] for one in defaults) else None
    annotation: Any = _joined([field.annotation for field in having])
    if get_origin(annotation) is dict:  # written as name=value, see `parse_pairs`
        annotation, default = list[str] | None, None
    several = any(get_origin(one) is list for one in (annotation, *get_args(annotation)))
    shown = Parameter(
        group=group,
        help=" / ".join(dict.fromkeys(field.description or "" for field in having)),
        show_default=default is not None and default is not False,
        negative=None if bool in (annotation, *get_args(annotation)) else (),
        consume_multiple=True if several else None,
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[annotation, shown]
    )


def _joined(annotations: Sequence[Any]) -> Any:
    """The type of what any of some options takes: their own where it is one, else all their choices."""
    if all(annotation == annotations[0] for annotation in annotations):
        return annotations[0]
    choices = [
        choice
        for annotation in annotations
        for part in (annotation, *get_args(annotation))
        if get_origin(part) is Literal
        for choice in get_args(part)
    ]
    return Literal[tuple(dict.fromkeys(choices))] | None


def resolve(config: type[AnyConfig], given: dict[str, Any], file: Path | None = None) -> AnyConfig:
    """The config from the flags that were given, a YAML file under them, and the defaults under both."""
    if "cell_options" in given:
        given = {**given, "cell_options": parse_pairs(given["cell_options"] or ())}
    return config.from_yaml(file, **given) if file else config.make(**given)


def parse_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    """`["peephole=true", "projection=64"]` -> `{"peephole": True, "projection": 64}`."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals and value):
            raise ConfigError(f"cell_options: expected name=value, got {pair!r}")
        if name in values:
            raise ConfigError(f"cell_options.{name}: given twice; leave one of them out")
        try:
            values[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            values[name] = value
    return values


def command_line(config: Config, *words: str, skip: Iterable[str] = ()) -> str:
    """The command that makes this config again: `words`, then each option that differs from its default."""
    changed = {name: value for name, value in config.changed().items() if name not in skip}
    parts = [*words, *(part for name, value in changed.items() for part in _written(name, value))]
    return shlex.join(parts)


def _written(name: str, value: Any) -> list[str]:
    flag = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return [flag if value else "--no-" + flag[2:]]
    if isinstance(value, list):
        return [flag, *map(str, value)]
    if isinstance(value, dict):
        return [
            flag,
            *(f"{key}={str(one).lower() if isinstance(one, bool) else one}" for key, one in value.items()),
        ]
    return [flag, "none" if value is None else str(value)]
