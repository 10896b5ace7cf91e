"""The `recurra` command: its verbs, and every error as one line."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from cyclopts import App, CycloptsError, UnknownCommandError, UnknownOptionError, UnusedCliTokensError

from recurra import __version__
from recurra.cli import bench, doctor, trained, training
from recurra.config import nearest
from recurra.errors import RecurraError

app = App(
    name="recurra",
    help="Recurrent neural networks: train one on your file, evaluate it, use it, look inside.",
    version=__version__,
    help_format="plaintext",
    help_flags=["--help", "-h"],
    print_error=False,
    exit_on_error=False,
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)
app.command(training.app)
app.command(training.check_app)
VERBS: list[Callable[..., int | None]] = [
    trained.evaluate,
    trained.predict,
    trained.generate,
    trained.score,
    trained.complete,
    trained.summary,
    bench.bench,
    doctor.doctor,
]
for place, verb in enumerate(VERBS, start=2):
    app.command(App(name=verb.__name__, default_command=verb, sort_key=place))


def main(words: Sequence[str] | None = None) -> int:
    """Run the command in `words` (sys.argv's, if None) and return its exit code.

    0: done. 1: the reader of the output went away, or `doctor` found something wrong. 2: an error, told in one line
    on stderr; with RECURRA_TRACEBACK=1 in the environment it is raised instead. 130: interrupted. SIGTERM raises
    SystemExit(143), so that what is half made is cleared away.
    """
    for stream in (sys.stdout, sys.stderr):  # a terminal that cannot show a character must not end a run
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        with _orderly_end():
            code = app(sys.argv[1:] if words is None else list(words))
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        return 1
    except KeyboardInterrupt:
        return 130
    except (RecurraError, CycloptsError, OSError) as error:
        if os.environ.get("RECURRA_TRACEBACK") == "1":
            raise
        print(f"recurra: {message(error)}", file=sys.stderr)
        return 2
    return int(code or 0)


@contextmanager
def _orderly_end() -> Iterator[None]:
    """Within the block SIGTERM ends the program by an exception; signals reach the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def message(error: Exception) -> str:
    """What went wrong, in one line; an unknown option or verb comes with the nearest known one."""
    match error:
        case UnknownOptionError(token=token, argument_collection=arguments):
            name = (token.keyword or token.value).split("=")[0]
            known = [flag for argument in arguments for flag in argument.names]
            if name in known:  # after a `--`
                return f"unexpected argument {name!r}{_see_help(error)}"
            return f"unknown option {name!r}{nearest(name, known) or _see_help(error)}"
        case UnknownCommandError(unused_tokens=[word, *_], app=App() as parent):
            known = [name for name in parent if not name.startswith("-")]
            return f"unknown command {word!r}{nearest(word, known) or '; known: ' + ', '.join(known)}"
        case UnusedCliTokensError(unused_tokens=[word, *_]):
            return f"unexpected argument {word!r}{_see_help(error)}"
        case OSError(filename=name, strerror=str(reason)) if name is not None:
            return f"{name}: {reason[0].lower()}{reason[1:]}"
    text = " ".join(str(error).split())
    return text[:1].lower() + text[1:] if isinstance(error, CycloptsError) else text


def _see_help(error: CycloptsError) -> str:
    return f"; see `{' '.join(['recurra', *(error.command_chain or ()), '--help'])}`"


def _discard_output() -> None:
    """Send what is still buffered nowhere, so that Python does not complain about the closed pipe at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
