"""Which files, or folders, hold the training, validation and test texts."""

from __future__ import annotations

from pathlib import Path

from recurra.data.splits import existing, match_parts


def find_parts(data: Path, valid: Path | None = None, test: Path | None = None) -> dict[str, Path]:
    """The path of each part that is there: "train", and perhaps "valid" and "test".

    A folder whose entries (files or folders) have train, valid (validation, val, dev) or test in their names is a
    folder of parts; any other folder, or a file, is the training part itself. `valid` and `test` win over those.

    Raises: DataError for a path that is not there, or a folder with two files for one part.
    """
    data = existing(data)
    found = _parts_in(data) if data.is_dir() else {}
    if "train" not in found:
        found = {"train": data}
    return found | {name: existing(path) for name, path in (("valid", valid), ("test", test)) if path is not None}


def _parts_in(folder: Path) -> dict[str, Path]:
    return match_parts(folder, sorted(path for path in folder.iterdir() if not path.name.startswith(".")))
