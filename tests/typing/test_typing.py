"""The public interface as type checkers see it."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.mark.timeout(400)
def test_mypy_holds_callers_to_the_handlers_signature() -> None:
    """Each line of `api.py` gives exactly the error that it is marked with, and no other line gives any."""
    source = HERE / "api.py"
    assert source.read_text().count("# type: ignore[") > 15
    settings, cache = str(ROOT / "pyproject.toml"), str(ROOT / ".mypy_cache")
    report, fault, status = api.run(["--config-file", settings, "--cache-dir", cache, str(source)])
    assert (status, fault) == (0, ""), report
