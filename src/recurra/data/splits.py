"""Which files, or parts of a file, to train, validate and test on."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

from recurra.errors import ConfigError, DataError
from recurra.text.files import Span, read_blocks, read_chunks

NAMES = {"train": ("train",), "valid": ("valid", "validation", "val", "dev"), "test": ("test",)}
SUFFIXES = (".txt", ".txt.gz")
CONTINUING = bytes(range(0x80, 0xC0))  # bytes of UTF-8 inside a character
NEXT_LINE = 1 << 12  # bytes after a cut within which a line end is looked for, so that no line is cut in two


@dataclass(frozen=True)
class Splits:
    """The parts of the data; valid or test is None where there is none."""

    train: Span
    valid: Span | None
    test: Span | None


def find_splits(
    path: Path,
    valid: Path | None = None,
    test: Path | None = None,
    valid_frac: float = 0.05,
    test_frac: float = 0.05,
) -> Splits:
    """The parts of a text given as one file, as files of their own, or as a folder.

    A folder holds files of type .txt or .txt.gz with train, valid (validation, val, dev) and test in their names, such
    as ptb.train.txt; `valid` and `test` go before its own. Where there is neither a validation nor a test file, both
    are cut from the end of the training text, by bytes and at a line end: its first 90 % train, the next 5 % validate,
    the last 5 % test. Where only the validation file is missing, it alone is cut.

    Raises: DataError for what cannot be used, ConfigError for fractions that leave nothing to train on.
    """
    if min(valid_frac, test_frac) < 0 or valid_frac + test_frac >= 1:
        raise ConfigError(
            f"valid_frac and test_frac: expected at least 0 and less than 1 together, "
            f"got {valid_frac} and {test_frac}; lower them"
        )
    path = existing(path)
    found = _find_in_folder(path) if path.is_dir() else {"train": path}
    found |= {name: existing(file) for name, file in (("valid", valid), ("test", test)) if file is not None}
    files = {name: check_text(file) for name, file in found.items()}
    if "valid" in files:
        return Splits(Span(files["train"]), Span(files["valid"]), Span(files["test"]) if "test" in files else None)
    if "test" in files:
        train, (tail,) = cut_file(files["train"], [valid_frac])
        return Splits(train, tail, Span(files["test"]))
    train, (middle, end) = cut_file(files["train"], [valid_frac, test_frac])
    return Splits(train, middle, end)


def existing(path: Path) -> Path:
    """The path, if something is there. Raises: DataError with the nearest name in the same folder."""
    path = Path(path)
    if path.exists():
        return path
    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, 1)
    hint = f"did you mean {path.parent / near[0]}?" if near else "check the path"
    raise DataError(f"{path}: expected a text file or a folder, got no such path; {hint}")


def check_text(path: Path) -> Path:
    """The path, if it is a text file of at least two characters. Raises: DataError."""
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "a pipe or device"
        raise DataError(f"{path}: expected a text file, got {kind}; give a file")
    beginning = "".join(islice(read_chunks(path), 2))
    if len(beginning) < 2:
        raise DataError(f"{path}: expected a text, got {len(beginning)} characters; give a longer text")
    return path


def cut_file(path: Path, fractions: Sequence[float]) -> tuple[Span, list[Span | None]]:
    """Cut a file into a first part and a part per fraction of its bytes, in order; None for a fraction of 0.

    Raises: DataError where the text is too short.
    """
    size = sum(map(len, read_blocks(path)))
    starts = [0]
    for number, fraction in enumerate(fractions):
        position = round(size * (1 - sum(fractions[number:])))
        starts.append(_line_start(path, position, min(NEXT_LINE, int(size * fraction / 2))))
    starts.append(size)
    for number in reversed(range(len(fractions))):
        if not fractions[number]:
            starts[number + 1] = starts[number + 2]  # nothing lies before the next part, wherever that begins
    first, *rest = [Span(path, start, stop) for start, stop in pairwise(starts)]
    parts = [span if fraction else None for span, fraction in zip(rest, fractions, strict=True)]
    if any(part is not None and part.start == part.stop for part in [first, *parts]):
        raise DataError(
            f"{path}: expected a text long enough to cut into train, valid and test, got {size} bytes; "
            "give a longer text, or files of their own"
        )
    return first, parts


def _line_start(path: Path, position: int, within: int) -> int:
    """The first start of a line at `position` or up to `within` bytes on, or else of a character."""
    if position == 0:
        return 0
    begin = position - 1
    following = b"".join(read_blocks(Span(path, begin, position + max(within, 4))))
    line = following.find(b"\n", 0, within + 1)
    if line >= 0:
        return begin + line + 1
    rest = following[1:5]
    return position + len(rest) - len(rest.lstrip(CONTINUING))


def match_parts(folder: Path, entries: Sequence[Path]) -> dict[str, Path]:
    """The entry of a folder for each part, by the words of its name. Raises: DataError where a part has several."""
    found: dict[str, Path] = {}
    for name, spellings in NAMES.items():
        matching = [path for path in entries if set(re.split(r"[\W_\d]+", path.name.lower())) & set(spellings)]
        if len(matching) > 1:
            raise DataError(
                f"{folder}: expected one {name} file, got {', '.join(p.name for p in matching)}; "
                "leave one, or give the files themselves"
            )
        if matching:
            found[name] = matching[0]
    return found


def _find_in_folder(folder: Path) -> dict[str, Path]:
    """The file of each split in a folder. Raises: DataError that says what was found."""
    texts = sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIXES))
    found = match_parts(folder, texts)
    if "train" not in found:
        here = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
        raise DataError(
            f"{folder}: expected a file train*.txt or train*.txt.gz in the folder, got {here}; "
            "name one so, or give the file itself"
        )
    return found
