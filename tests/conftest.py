"""What tests of the compiled extension need: the extension, or the reason to skip."""

import os

import pytest

from recurra.backends import extension


@pytest.fixture(scope="session")
def native():
    """The module recurra._native; without it tests are skipped, or fail where RECURRA_REQUIRE names native."""
    why = extension.unavailable()
    if why is not None:
        if "native" in os.environ.get("RECURRA_REQUIRE", "").split(","):
            pytest.fail(f"RECURRA_REQUIRE names native: {why}")
        pytest.skip(why)
    return extension.extension()
