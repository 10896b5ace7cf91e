"""Speed and memory beside other libraries', measured in the same run: what `recurra bench` prints.

`bench` is the whole table, a process for each number of threads; `workloads` is the list of what is measured.
"""

from recurra.benchmark.processes import bench, usable_cpus
from recurra.benchmark.rows import Conditions, LeftOut, Result, Row
from recurra.benchmark.workloads import WORKLOADS, Workload, select

__all__ = ["WORKLOADS", "Conditions", "LeftOut", "Result", "Row", "Workload", "bench", "select", "usable_cpus"]
