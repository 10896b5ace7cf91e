"""The verbs on a trained model's folder: each calls the method of that name and prints what it gives."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from recurra.cli.flags import resolve, takes_options
from recurra.cli.output import note, number, print_json, spaced, table, write
from recurra.cli.plan import print_plans
from recurra.config import LARGEST, Config, GenerationOptions, StackOptions, nearest
from recurra.errors import ConfigError, DataError, FolderError
from recurra.tasks import TASKS
from recurra.tasks.lm.options import LanguageModelOptions, LMConfig

Folder = Annotated[Path, Parameter(help="Folder of a trained model.")]
AsJson = Annotated[bool, Parameter("--json", negative=(), show_default=False, help="Print JSON.")]
Count = Annotated[int, Parameter(validator=Number(gte=1, lte=LARGEST))]
Device = Annotated[
    str | None, Parameter(negative=(), help="Where to compute: cpu, cuda; unset: where the model was trained.")
]

START = {"stream": "the state after a line end", "sentences": "the start symbol"}


@takes_options(*(task.evaluation for task in TASKS.values() if task.evaluation))
def evaluate(
    folder: Folder,
    file: Annotated[Path | None, Parameter(help="Data to evaluate on; without it, the test data.")] = None,
    /,
    *,
    batch_size: Annotated[
        int | None,
        Parameter(
            validator=Number(gte=1, lte=LARGEST),
            negative=(),
            help="Sequences side by side: for speed.",
        ),
    ] = None,
    device: Device = None,
    as_json: AsJson = False,
    **given: Any,
) -> None:
    """Measure a model on data that it was not trained on."""
    run = _loaded(folder, device, "evaluate")
    _own_options(run, TASKS[run.config.task].evaluation, given)
    metrics = run.evaluate(file, batch_size=batch_size, **given)
    if as_json:
        print_json(metrics)
    else:
        write(table([(spaced(name), number(value)) for name, value in metrics.items()]))


@takes_options(*(task.prediction for task in TASKS.values() if task.prediction))
def predict(
    folder: Folder,
    file: Annotated[
        Path | None,
        Parameter(
            help="Data to predict for, in the form of the training data; - is stdin. A forecaster without it goes on "
            "from its training data.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(
            negative=(),
            allow_leading_hyphen=True,
            help="Write to this file, which must not exist yet; unset: to stdout.",
        ),
    ] = None,
    device: Device = None,
    **given: Any,
) -> None:
    """Labels, tags or forecasts for data, by a trained model."""
    if file is not None and len(str(file)) > 1 and str(file).startswith("-"):
        raise ConfigError(f"unknown option {str(file)!r}{nearest(str(file), prediction_flags())}")
    run = _loaded(folder, device, "write_predictions", "predict")
    task = TASKS[run.config.task]
    options = _own_options(run, task.prediction, given)
    if file is None and not task.predicts_on:
        raise ConfigError(f"no file to predict for; give one, as in `recurra predict {folder} FILE` (- is stdin)")
    pieces = run.write_predictions(file, options)
    if output is None or str(output) == "-":
        for piece in pieces:
            write(piece)
        return
    first = next(pieces, "")  # what is wrong with the data is said before the file is made
    with output.open("x", encoding="utf-8", newline="") as target:
        target.write(first)
        target.writelines(pieces)


def prediction_flags() -> list[str]:
    """The flags that models of any task take when predicting."""
    kinds = [task.prediction for task in TASKS.values() if task.prediction]
    return ["--" + name.replace("_", "-") for kind in kinds for name in kind.model_fields]


def _loaded(folder: Path, device: str | None, method: str, verb: str | None = None) -> Any:
    """The trained model in a folder. Raises: FolderError where those of its task have no such verb."""
    import recurra

    run = recurra.load(folder, device)
    if not hasattr(run, method) or (verb == "predict" and TASKS[run.config.task].prediction is None):
        raise FolderError(f"{folder}: a model of task {run.config.task!r} has no `{verb or method}`; see its README.md")
    return run


def _own_options(run: Any, kind: type[Config] | None, given: dict[str, Any]) -> Any:
    """The options of a verb that models of this task take. Raises: ConfigError for another task's."""
    known = kind.model_fields if kind else {}
    for name in given.keys() - known.keys():
        takes = ", ".join("--" + other.replace("_", "-") for other in known) or "none of its own"
        raise ConfigError(
            f"--{name.replace('_', '-')} is not for a model of task {run.config.task!r}, which takes {takes}"
        )
    return resolve(kind, given) if kind else None


@takes_options(GenerationOptions)
def generate(
    folder: Folder,
    prompt: Annotated[str | None, Parameter(help="Text to go on from.")] = None,
    /,
    *,
    device: Device = None,
    as_json: AsJson = False,
    **given: Any,
) -> None:
    """Let a model write."""
    options = resolve(GenerationOptions, given)
    run = _loaded(folder, device, "generate")
    if prompt is None:
        note(f"no prompt: starting from {START[run.config.mode]}")
    if as_json:
        for text in run.generate(prompt, **options.model_dump()):
            print_json({"prompt": prompt, "text": text})
    elif options.n == 1 and run.config.direction == "forward":
        before = iter([prompt or ""])  # written with the first piece: only then is it known to be a good prompt
        run.generate(prompt, **options.model_dump(), on_text=lambda text: write(next(before, "") + text))
        write(next(before, "") + "\n")
    else:
        for place, text in enumerate(run.generate(prompt, **options.model_dump()), start=1):
            whole = (prompt or "") + text if run.config.direction == "forward" else text + (prompt or "")
            write((f"--- {place} of {options.n}\n" if options.n > 1 else "") + f"{whole}\n")


def score(
    folder: Folder,
    /,
    *sentences: Annotated[str, Parameter(help="Sentences to score.")],
    file: Annotated[
        Path | None,
        Parameter(negative=(), allow_leading_hyphen=True, help="Score each line of this file; - is stdin."),
    ] = None,
    rank: Annotated[bool, Parameter(negative=(), show_default=False, help="Print the likeliest first.")] = False,
    end: Annotated[bool, Parameter(help="Count the end of the sentence.")] = True,
    per_token: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Print each token's log-probability too.")
    ] = False,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Log-probability of sentences, in nats: which of them would the model rather say?"""
    lines = [*sentences, *(read_lines(file) if file else ())]
    if not lines:
        raise ConfigError("no sentences; give some, or --file F with one per line (- is stdin)")
    run = _loaded(folder, device, "score")
    scores = run.score(lines, end=end)
    note(f"each sentence starts from {START[run.config.mode]}; log-probabilities in nats")
    if rank:
        scores = sorted(scores, key=lambda one: one.log_prob, reverse=True)
    for one in scores:
        tokens = list(zip(one.tokens, one.log_probs, strict=True))
        if as_json:
            each = {"tokens": [{"token": token, "nats": nats} for token, nats in tokens]} if per_token else {}
            print_json({"text": one.text, "nats": one.log_prob, **each})
            continue
        write(f"{one.log_prob:.4f}\t{one.text}\n")
        for token, nats in tokens if per_token else ():
            write(f"  {nats:.4f}\t{token}\n")


def complete(
    folder: Folder,
    prompt: Annotated[str, Parameter(help="Text to go on from.")],
    /,
    *,
    k: Annotated[Count, Parameter("-k", help="Number of words.")] = 5,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """The likeliest next words, with their probabilities."""
    found = _loaded(folder, device, "complete").complete(prompt, k)
    if not found.exact:
        note("the search reached its limit: other words may be as likely")
    if as_json:
        print_json([{"word": word, "probability": probability} for word, probability in found.words])
    else:
        for word, probability in found.words:
            write(f"{probability:.4f}\t{word}\n")


@takes_options(LanguageModelOptions, StackOptions)
def summary(
    folder: Annotated[Path | None, Parameter(help="Folder of a trained model.")] = None,
    /,
    *,
    vocabulary: Annotated[
        int | None,
        Parameter(
            validator=Number(gte=1, lte=LARGEST), negative=(), help="Number of tokens, for a model not yet trained."
        ),
    ] = None,
    plan: Annotated[
        bool,
        Parameter(
            negative=(), show_default=False, help="Print how each layer is trained: stages, what is kept, memory."
        ),
    ] = False,
    as_json: AsJson = False,
    **given: Any,
) -> None:
    """Number of weights of each layer and in total, with the arithmetic.

    Of a trained model, or of the one that options describe: recurra summary --cell gru --vocabulary 10000.
    """
    if folder is not None and (given or vocabulary):
        raise ConfigError("summary takes a model's folder or the options of a network, not both")
    if plan:
        print_plans(folder, vocabulary, given, as_json)
        return
    if folder is None and vocabulary is None:
        raise ConfigError("summary needs a model's folder, or --vocabulary and the options of a network")
    import recurra

    if folder is not None:
        facts = recurra.load(folder, "cpu").summary()
    else:
        assert vocabulary is not None
        from recurra import tasks

        facts = tasks.summarize(resolve(LMConfig, given), vocabulary)
    if as_json:
        print_json(facts)
        return
    rows = [(row["name"], number(row["weights"]), row["arithmetic"]) for row in facts["layers"]]
    write(table([*rows, ("total", number(facts["weights"]), "")]))


def read_lines(file: Path) -> list[str]:
    """The lines of a UTF-8 file, plain or gzip, or of stdin (`-`) that are not blank."""
    if str(file) != "-":
        from recurra.text import read_lines as lines_of_file

        return [line for line in lines_of_file(file) if line.strip()]
    try:
        lines = sys.stdin.buffer.read().decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"stdin: not UTF-8 at byte offset {error.start}; give UTF-8 text") from None
    return [line.removesuffix("\r") for line in lines if line.strip()]
