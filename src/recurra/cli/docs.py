"""Write docs/command-line.md from the app: `python -m recurra.cli.docs [FILE]`."""

from __future__ import annotations

import sys
from pathlib import Path

from recurra.cli.main import app

HEADER = "<!-- Made by `make docs` from the options' fields in the source; change it there. -->\n\n"


def command_line_page() -> str:
    """The page: every verb with its flags, defaults and help."""
    return HEADER + app.generate_docs(output_format="markdown").rstrip() + "\n"


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else "docs/command-line.md").write_text(command_line_page(), encoding="utf-8")
