"""A stranger's first hour: the README's code blocks, taken from the page and run, as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.M | re.S)
MARK = "@@@ block"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


class Block(NamedTuple):
    """One code block of the page."""

    language: str
    code: str


def _blocks() -> list[Block]:
    return [Block(*found) for found in BLOCK.findall((ROOT / "README.md").read_text())]


def _script(blocks: list[Block]) -> str:
    """Return all blocks as one bash script; a Python block is written to the file that its first line names."""
    lines = ["set -euo pipefail"]
    for number, (language, code) in enumerate(blocks):
        lines.append(f"printf '\\n{MARK} {number}\\n'")
        if language == "python":
            name = code.split("\n", 1)[0].removeprefix("# ").strip()
            lines.append(f"cat > {name} <<'@@@'\n{code}@@@")
        else:
            # What is installed already stays: only the last command of the line that sets everything up.
            # Status 8, a difference that the check found, is for the first test to tell; the hour goes on.
            last = code.rstrip().rsplit(" && ", 1)[-1]
            lines.append(f"{last} || [ $? -eq 8 ]" if "pip install" in code else code)
    return "\n".join(lines).replace(".venv/bin/", f"{Path(sys.executable).parent}/")


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Run every block but the one that runs the tests; return what each printed."""
    home = tmp_path_factory.mktemp("hour")
    home.chmod(0o755)
    (home / "tests").symlink_to(ROOT / "tests")
    blocks = _blocks()
    assert "pytest" in blocks[1].code
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JOBLEDGER_", "OTEL_", "PG"))}
    kept.pop("DATABASE_URL", None)
    done = subprocess.run(  # noqa: S603 - our own page
        ["/bin/bash", "-c", _script([blocks[0], *blocks[2:]])],
        cwd=home,
        env={**kept, "JOBLEDGER_DATA": str(home / "data"), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=360,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    parts = re.split(rf"^{MARK} \d+$", done.stdout, flags=re.M)[1:]
    # The block of the tests did not run: an empty part keeps the numbers those of the page.
    return [parts[0], "", *parts[1:]]


def _said(hour: list[str], word: str) -> str:
    """Return what the first block said whose code contains `word`."""
    return next(said for said, block in zip(hour, _blocks(), strict=True) if word in block.code and said.strip())


def test_the_first_command_replays_the_log_and_finds_it_recorded(hour: list[str]) -> None:
    """18,239 jobs of 69 users, equal to the file, and three commands to try next."""
    assert "18,239 jobs" in hour[0]
    assert "the log equals the file" in hour[0], hour[0][-2000:]
    assert "Next:" in hour[0]


def test_a_job_of_the_log_shows_its_whole_history(hour: list[str]) -> None:
    """Enqueued, claimed, succeeded."""
    said = _said(hour, 'history "$JOB"')
    for event in ("job.enqueued", "job.claimed", "job.succeeded"):
        assert event in said


def test_a_broken_handler_is_retried_and_then_dead_lettered(hour: list[str]) -> None:
    """The error's type and message are on record, twice, and the job is failed."""
    said = _said(hour, "--state failed")
    assert "greet" in said
    assert "failed" in said
    story = "".join(hour)
    assert story.count("AttributeError") >= 2


def test_the_reason_of_the_retry_stands_in_the_history(hour: list[str]) -> None:
    """Who ran it again, why, and that it then succeeded."""
    assert "job.retried" in hour[-1]
    assert "the handler is mended" in hour[-1]
    assert "job.succeeded" in hour[-1]


def test_the_first_example_is_short() -> None:
    """A beginner needs job, worker, history, and at most 15 lines."""
    first = next(block for block in _blocks() if block.language == "python")
    assert len(first.code.splitlines()) <= 15
