"""What is generated from the table and the models is what the pages say."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobledger.events import MODELS, catalogue
from jobledger.lifecycle import TRANSITIONS, chart

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "deploy" / "generate_docs.py"


@pytest.fixture(scope="module")
def generate_docs() -> ModuleType:
    """Load the tool from where it lies."""
    spec = importlib.util.spec_from_file_location("generate_docs", TOOL)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_hold_what_the_code_says() -> None:
    """docs/lifecycle.md and docs/events.md are generated again whenever the code changes."""
    check = subprocess.run([sys.executable, TOOL, "--check"], capture_output=True, text=True, check=False)  # noqa: S603
    assert check.returncode == 0, f"{check.stdout}{check.stderr}run: python deploy/generate_docs.py"


def test_every_transition_is_in_the_table_and_in_the_chart() -> None:
    """One line each in the table; an arrow for each that leaves its state."""
    assert len(chart.table().splitlines()) == 2 + len(TRANSITIONS)
    for row in TRANSITIONS:
        assert f"`{row.event}`" in chart.table()
        if row.target:
            assert row.event.removeprefix("job.") in chart.diagram()


def test_every_event_and_every_key_is_in_the_catalogue() -> None:
    """The docstring and all fields, by the names that the log has."""
    text = catalogue.page()
    for type_, model in MODELS.items():
        section = text.split(f"### `{type_}`\n")[1].split("\n### ")[0]
        assert (model.__doc__ or "").split(".")[0].split("\n")[0] in section
        for name, field in model.model_fields.items():
            assert f"| `{field.alias or name}` |" in section


def test_a_page_without_its_marks_is_an_error(generate_docs: ModuleType) -> None:
    """Nothing is written beside the place that was meant for it."""
    page = "a\n<!-- generated: x -->\nold\n<!-- end of x -->\nb\n"
    assert generate_docs.replaced(page, "x", "new") == "a\n<!-- generated: x -->\n\nnew\n\n<!-- end of x -->\nb\n"
    for broken in ("", page + page, page.replace("end of x", "end")):
        with pytest.raises(ValueError, match="marks for x"):
            generate_docs.replaced(broken, "x", "new")
