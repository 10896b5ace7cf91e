"""`recurra summary --plan`: how each layer is trained, as text or JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recurra.cli.flags import resolve
from recurra.cli.output import number, print_json, write
from recurra.errors import ConfigError
from recurra.tasks.lm import LMConfig

PLACES = {"before": "before the loop", "loop": "in each step", "after": "after the loop"}
RUNS = {"once": "once", "sequence": "per sequence", "step": "for all steps at once", "loop": ""}


def print_plans(folder: Path | None, vocabulary: int | None, given: dict[str, Any], as_json: bool) -> None:
    """The plans of a trained model, or of the one that options describe."""
    plans = _trained(folder) if folder is not None else _described(resolve(LMConfig, given), vocabulary)
    if as_json:
        print_json({"layers": plans})
    else:
        write("\n\n".join("\n".join(_layer(layer)) for layer in plans) + "\n")


def _trained(folder: Path) -> list[dict[str, Any]]:
    import recurra

    plans: list[dict[str, Any]] = recurra.load(folder, "cpu").plans()
    return plans


def _described(config: LMConfig, vocabulary: int | None) -> list[dict[str, Any]]:
    if vocabulary is None and config.embedding == "one-hot":
        raise ConfigError("embedding=one-hot: the first layer's input is as wide as the vocabulary; give --vocabulary")
    from recurra import tasks

    return tasks.describe_plans(config, vocabulary or 1)  # a learned embedding hides the number of tokens


def _layer(layer: Mapping[str, Any]) -> list[str]:
    lines = [f"{layer['cell']} layer {layer['layer']}: {layer['input_size']} -> {layer['output_size']}"]
    for name in ("forward", "gradient"):
        lines += ["", f"  {name}: {_counts(layer[name])}", *_stages(layer[name]["stages"])]
    lines += ["", "  kept from forward to gradient, bytes per step and sequence in float32 and float64", *_kept(layer)]
    if layer["recompute"]:
        lines.append("    recompute: held for one piece of about sqrt(T) steps at a time")
    return lines


def _counts(one: Mapping[str, Any]) -> str:
    """`8 instructions and 1 product in each step; outside 1 product, 3 sums; 672 flops ...`"""
    loop = " and ".join(_count(one[kind]["loop"], kind) for kind in ("instructions", "products"))
    outside = {kind: one[kind]["before"] + one[kind]["after"] for kind in ("instructions", "products", "sums")}
    rest = ", ".join(_count(count, kind) for kind, count in outside.items() if count)
    flops = f"{number(one['flops'])} flops of products per step and sequence"
    return "; ".join([f"{loop} in each step", *([f"outside {rest}"] if rest else []), flops])


def _count(count: int, kind: str) -> str:
    return f"{count} {kind if count != 1 else kind[:-1]}"


def _stages(stages: Sequence[Mapping[str, Any]]) -> list[str]:
    lines, last = [], None
    for stage in stages:
        runs = RUNS[stage["runs"]]
        heading = PLACES[stage["when"]] + (f", {runs}" if runs else "")
        if heading != last:
            lines.append(f"    {heading}")
            last = heading
        lines += [f"      {line}" for line in stage["lines"]]
    return lines


def _kept(layer: Mapping[str, Any]) -> list[str]:
    rows = [(row["value"], row["width"], row["bytes"], _where(row)) for row in layer["kept"]]
    memory = layer["memory"]
    rows.append(("all, with the output", memory["numbers"], memory["bytes"], ""))
    cells = [(name, number(width), *map(number, size.values()), where) for name, width, size, where in rows]
    name, *counts, _ = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for first, *numbers, where in cells:
        columns = [f"{value:>{width}}" for value, width in zip(numbers, counts, strict=True)]
        lines.append("    " + "  ".join([f"{first:<{name}}", *columns, where]).rstrip())
    return lines


def _where(row: Mapping[str, Any]) -> str:
    return str(row["memory"]) + ("" if row["runs"] == "step" else ", once per sequence")
