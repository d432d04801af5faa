"""The package's own names."""

from __future__ import annotations

import subprocess
import sys

import pytest

import jobledger


def test_every_public_name_can_be_loaded() -> None:
    """They are sorted, and each exists."""
    assert jobledger.__all__ == sorted(jobledger.__all__)
    assert all(getattr(jobledger, name) is not None for name in jobledger.__all__)
    assert set(jobledger.__all__) <= set(dir(jobledger))
    with pytest.raises(AttributeError):
        _ = jobledger.nonsense


def test_importing_the_package_loads_no_dependency() -> None:
    """A command line that only prints its help, or a tool that asks for the version, waits for nothing."""
    code = "import sys, jobledger; print([n for n in ('asyncpg', 'pydantic', 'orjson', 'aiohttp') if n in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert ran.stdout.strip() == "[]"
