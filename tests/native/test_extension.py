"""The built extension: what it links to, what it exports, and the instruction sets in it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OBJECTS = sorted((ROOT / "build" / "editable").glob("CMakeFiles/isa_*.dir/native/isa/*.o"))
SYSTEM = {"libstdc++", "libgcc_s", "libm", "libc", "libpthread", "libdl", "ld-linux-x86-64", "ld-linux-aarch64"}


def output(*command, **environment):
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]}")
    result = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    return result.stdout + result.stderr


def defined(file, *options):
    """Names that a file offers to others: global, weak and unique symbols."""
    rows = [line.split() for line in output("nm", "--defined-only", *options, str(file)).splitlines()]
    return {row[-1] for row in rows if len(row) == 3 and (row[1].isupper() or row[1] in "uvw")}


@pytest.mark.parametrize("file", OBJECTS or [None], ids=lambda file: file.name if file else "none")
def test_an_instruction_set_exports_its_table_alone(file):
    """A template's weak symbol, compiled for AVX-512, could be what the linker keeps for every CPU."""
    if file is None:
        pytest.skip("no objects in build/editable; `make native` leaves them there")
    name = file.name.partition(".")[0]
    assert defined(file) == {f"_ZN7recurra{len(name) + 8}kernels_{name}E"}


def test_the_extension_exports_its_start_alone(native):
    assert defined(native.__file__, "--dynamic") == {"PyInit__native"}


def test_the_extension_needs_the_system_alone(native):
    """No OpenMP runtime and no torch: it shares what the process has loaded."""
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", output("readelf", "--dynamic", native.__file__))
    assert needed
    assert {name.partition(".so")[0] for name in needed} <= SYSTEM


def asked(isa):
    code = "from recurra.backends.extension import extension; print(extension().isa())"
    return output(sys.executable, "-c", code, RECURRA_ISA=isa).strip().splitlines()[-1]


def test_each_instruction_set_can_be_forced(native):
    assert native.available_isas()[-1] in ("baseline", "neon")
    for isa in native.available_isas():
        assert asked(isa) == isa
    assert asked("") == native.available_isas()[0]


@pytest.mark.parametrize("isa", ["avx1024", "AVX2", "sparc"])
def test_one_that_the_cpu_lacks_is_an_error(native, isa):
    names = ", ".join(native.available_isas())
    assert asked(isa) == (
        f"recurra.errors.BackendError: RECURRA_ISA: expected one that this CPU has ({names}), got '{isa}'"
    )
