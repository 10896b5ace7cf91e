# Everything runs in .venv, which is made on first use. PIP_FLAGS passes pip options, such as an index.
PYTHON ?= python3
PIP_FLAGS ?=
BIN := .venv/bin
INSTALLED := .venv/installed
PIP_INSTALL = $(BIN)/python -m pip install $(PIP_FLAGS) --constraint constraints.txt

# What builds the extension: in .venv and not in pip's own passing environment, so that `make native` finds it again.
BUILD_TOOLS = scikit-build-core nanobind setuptools $(foreach tool,cmake ninja,$(if $(shell command -v $(tool)),,$(tool)))
CMAKE = PATH="$(CURDIR)/$(BIN):$$PATH" cmake
CTEST = PATH="$(CURDIR)/$(BIN):$$PATH" ctest --output-on-failure
TEST_PROGRAMS = $(CMAKE) -S . -G Ninja -DRECURRA_EXTENSION=OFF -DRECURRA_TESTS=ON
CPP = native/*.cpp native/*.h native/isa/* native/tests/*.cpp

.PHONY: demo test test-slow test-native native sanitize neon wheel lint format docs clean

demo: $(INSTALLED)
	$(BIN)/python examples/demo.py

test: lint native test-native
	$(BIN)/python -m pytest

test-slow: $(INSTALLED) native
	$(BIN)/python -m pytest -m slow --timeout 3600
	$(TEST_PROGRAMS) -B build/tests
	$(CMAKE) --build build/tests --target exhaustive
	$(CTEST) --test-dir build/tests --label-regex slow

# Builds what changed of the extension again, in place.
native: $(INSTALLED)
	$(CMAKE) --build build/editable

# The C++ test programs, once per instruction set; those that this CPU lacks are skipped.
test-native: $(INSTALLED)
	$(TEST_PROGRAMS) -B build/tests
	$(CMAKE) --build build/tests
	$(CTEST) --test-dir build/tests --label-exclude slow

# The same under AddressSanitizer and UndefinedBehaviorSanitizer.
sanitize: $(INSTALLED)
	$(TEST_PROGRAMS) -B build/sanitize -DRECURRA_SANITIZE=address,undefined
	$(CMAKE) --build build/sanitize
	$(CTEST) --test-dir build/sanitize --label-exclude slow

# The same for aarch64, in an emulator.
neon: $(INSTALLED)
	@command -v aarch64-linux-gnu-g++ qemu-aarch64 >/dev/null || { echo "make neon needs a cross compiler and an \
	emulator; on Debian: apt-get install g++-aarch64-linux-gnu qemu-user"; exit 1; }
	$(TEST_PROGRAMS) -B build/neon -DCMAKE_TOOLCHAIN_FILE=native/tests/aarch64.cmake
	$(CMAKE) --build build/neon
	$(CTEST) --test-dir build/neon --label-exclude slow

wheel: $(INSTALLED)
	$(BIN)/python -m pip wheel $(PIP_FLAGS) --no-build-isolation --no-deps --wheel-dir dist .

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(CPP)

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CPP)

docs: $(INSTALLED)
	$(BIN)/python -m recurra.cli.docs
	$(BIN)/python -m recurra.cells.page

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP_INSTALL) $(BUILD_TOOLS)
	$(PIP_INSTALL) --no-build-isolation --editable ".[dev]"
	touch $@

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache src/recurra/_native*.so
