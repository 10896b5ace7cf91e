"""Labelled texts: tables, JSON lines, `__label__` lines, a label before its text, a folder per class, trees."""

from recurra.data.texts.formats import FORMATS, Layout, check_told
from recurra.data.texts.labelled import Labelled, find_format, format_by_name, read_labelled
from recurra.data.texts.parts import find_parts
from recurra.data.texts.tables import STDIN, Report, is_stdin, name_of, refuse, text_lines

__all__ = [
    "FORMATS",
    "STDIN",
    "Labelled",
    "Layout",
    "Report",
    "check_told",
    "find_format",
    "find_parts",
    "format_by_name",
    "is_stdin",
    "name_of",
    "read_labelled",
    "refuse",
    "text_lines",
]
