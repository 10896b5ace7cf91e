"""Memory kept from update to update."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
import sys
import torch
from recurra.training.memory import keep_freed_memory

keep_freed_memory()
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    tensors = [torch.zeros(1 << 20) for _ in range(12)]
    del tensors
sys.exit(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before > 1000)  # of 12,288 pages
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_freed_memory_is_kept() -> None:
    assert subprocess.run([sys.executable, "-c", PROGRAM], timeout=60).returncode == 0
