"""`recurra doctor`: what is installed, which backend runs and why, and whether it computes what it should."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from recurra.cli.output import print_json, write

if TYPE_CHECKING:
    from recurra.doctor import Check


def doctor(
    *,
    as_json: Annotated[
        bool, Parameter("--json", negative=(), show_default=False, help="Print one JSON object.")
    ] = False,
) -> int:
    """Versions, machine, instruction set, threads and backends, and a self-test of a second.

    The exit code is 1 where the self-test fails or a setting in the environment cannot be met.
    """
    from recurra.doctor import installation, self_test

    facts = installation()
    if not as_json:
        write("".join(f"{name:<13} {value}\n" for name, value in _lines(facts)))
    checks = list(self_test())
    well = all(check.passed for check in checks) and not _unmet(facts)
    if as_json:
        print_json({**facts, "self_test": [asdict(check) for check in checks], "well": well})
    else:
        write("".join(f"{'self-test':<13} {line}\n" for line in _verdicts(checks)))
    return 0 if well else 1


def _unmet(facts: dict[str, Any]) -> bool:
    """Whether the environment asks for something that is not there."""
    return "RECURRA_" in facts["extension"].get("problem", "") or isinstance(facts["threads"]["native"], str)


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    machine, extension = facts["machine"], facts["extension"]
    lines = [*facts["versions"].items(), ("system", machine["system"])]
    lines.append(("processor", f"{machine['processor']} ({machine['architecture']}, {machine['cpus']} usable)"))
    if machine["cuda"]:
        lines.append(("GPU", machine["cuda"]))
    lines.append(("extension", extension.get("problem") or _isa(extension)))
    lines.append(("threads", _threads(facts["threads"], extension)))
    for device, backends in facts["backends"].items():
        for name, why in backends.items():
            lines.append(("backend", f"{name} on {device}: {why or 'available'}"))
    return lines


def _isa(extension: dict[str, Any]) -> str:
    found = ", ".join(extension["available_isas"])
    why = "RECURRA_ISA asks for it" if extension["RECURRA_ISA"] else "the best"
    return f"{extension['isa']}: {why}; this CPU has {found}"


def _threads(threads: dict[str, Any], extension: dict[str, Any]) -> str:
    if isinstance(threads["native"], str):
        return threads["native"]
    whose = "RECURRA_NUM_THREADS" if threads["RECURRA_NUM_THREADS"] else "torch's number"
    if "problem" in extension:
        return f"{threads['torch']}, torch's number"
    runtime = extension["thread_runtime"]
    return f"{threads['native']}, {whose}; " + (f"torch's own, of {runtime}" if runtime else "a pool of recurra's own")


def _verdicts(checks: list[Check]) -> list[str]:
    """One line per backend, device and dtype, and one for each cell that failed."""
    if not checks:
        return ["nothing to compare: no backend but the reference"]
    groups: dict[tuple[str, str, str], list[Check]] = {}
    for one in checks:
        groups.setdefault((one.backend, one.device, one.dtype), []).append(one)
    lines = []
    for (backend, device, dtype), group in groups.items():
        failed = [one for one in group if not one.passed]
        worst = max(max(one.output_error, one.gradient_error) for one in group)
        verdict = f"{len(failed)} FAILED" if failed else "all well"
        lines.append(f"{backend} on {device}, {dtype}: {len(group)} cells, {verdict}; largest error {worst:.1e}")
        lines += [f"  {one.cell}: {one.problem or _errors(one)}" for one in failed]
    return lines


def _errors(check: Check) -> str:
    return f"error {check.output_error:.1e} of the output, {check.gradient_error:.1e} of the gradient"
