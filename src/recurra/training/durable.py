"""Files that are whole or absent whatever happens: written aside, brought to the disk, then renamed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def sync(path: Path) -> None:
    """Bring a file's content, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_in_place(written: Path, path: Path) -> None:
    """Rename a file or folder that is written to the name it should have, for good."""
    os.replace(written, path)
    sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file in one go, replacing the one of that name."""
    aside = path.with_name(f".{path.name}.writing")
    try:
        aside.write_text(text, encoding="utf-8", newline="")
        sync(aside)
        put_in_place(aside, path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def link(source: Path, target: Path) -> None:
    """Give a file a second name, or a copy where the file system knows no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        sync(target)
