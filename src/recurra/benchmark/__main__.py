"""The process that measures: `python -m recurra.benchmark JSON`, an event per line on stdout.

JSON: {"threads": 1, "repeats": 7, "workloads": [{"name": ..., ...}], "backends": ["reference"]}; all but the first may
be left out.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from recurra.benchmark.processes import REPEATS, hold_to
from recurra.benchmark.rows import to_line
from recurra.benchmark.workloads import WORKLOADS, Workload
from recurra.errors import RecurraError


def main(asked: dict[str, Any]) -> int:
    pinned = hold_to(asked["threads"])
    from recurra.benchmark.measure import measure  # after `hold_to`: this loads torch, which counts the CPUs

    given = [Workload(**one) for one in asked["workloads"]] if "workloads" in asked else WORKLOADS
    try:
        for event in measure(
            given, asked["threads"], asked.get("repeats", REPEATS), asked.get("backends"), pinned=pinned
        ):
            print(to_line(event), flush=True)
    except RecurraError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 2
    except (BrokenPipeError, KeyboardInterrupt):  # whoever asked has gone, or has been told as well
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {"threads": 1}))
