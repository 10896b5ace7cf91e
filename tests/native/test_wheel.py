"""Wheels, built as `make wheel` builds them: with a compiler, and where there is none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PARTS = ["CMakeLists.txt", "pyproject.toml", "README.md", "native", "src"]
RUNTIMES = re.compile(r"gomp|omp5|libomp|libtorch", re.IGNORECASE)


@pytest.fixture
def source(tmp_path):
    """A copy of the sources, so that nothing built before is in the way."""
    folder = tmp_path / "source"
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        copy(ROOT / part, folder / part)
    for built in folder.glob("src/recurra/_native*.so"):
        built.unlink()
    return folder


def wheel(source, **environment):
    """The wheel, unpacked into a folder."""
    folder = source.parent
    command = [
        sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index",
        "--wheel-dir", str(folder), str(source),
    ]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    assert result.returncode == 0, result.stdout + result.stderr
    (made,) = folder.glob("*.whl")
    with zipfile.ZipFile(made) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def doctor(unpacked):
    """What the unpacked wheel says of itself; -S keeps the editable install off the path."""
    path = os.pathsep.join([str(unpacked), sysconfig.get_path("purelib")])
    return subprocess.run(
        [sys.executable, "-S", "-m", "recurra.cli.main", "doctor"],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path}, cwd=unpacked,
    )  # fmt: skip


def test_a_wheel_brings_the_extension_and_no_runtime(source, native):
    unpacked = wheel(source)
    libraries = [path for path in unpacked.rglob("*") if ".so" in path.name]
    assert [path.name for path in libraries] == [Path(native.__file__).name]
    needed = subprocess.run(["readelf", "--dynamic", libraries[0]], capture_output=True, text=True, check=True).stdout
    assert not RUNTIMES.search(needed)
    result = doctor(unpacked)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "native on cpu: available" in result.stdout


def test_without_a_compiler_it_installs_and_says_so(source):
    unpacked = wheel(source, CXX="/nonexistent/c++")
    assert not [path for path in unpacked.rglob("*") if ".so" in path.name]
    result = doctor(unpacked)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "native on cpu: the compiled extension is missing; install a C++ compiler" in result.stdout
    assert "recurra computes in plain PyTorch: the compiled extension is missing" in result.stderr


def test_a_compile_error_stays_an_error(source):
    with (source / "native" / "cpu.cpp").open("a") as file:
        file.write("#error on purpose\n")
    with pytest.raises(AssertionError, match="#error on purpose"):
        wheel(source)
