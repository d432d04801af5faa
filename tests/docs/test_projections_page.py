"""The page on projections: its example is put into files as it stands, run on a replayed log, and asked."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "howto" / "projections.md").read_text()
FILE = re.compile(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```", re.M | re.S)
QUESTION = re.compile(r"^```sql\n(select.*?)^```", re.M | re.S)
# What the small log has of each user: records, and the seconds that they ran for.
RECORDS = ROOT / "tests" / "data" / "small.swf"


def _typed(folder: Path, *words: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "jobledger", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def typed(tmp_path: Path, database: str) -> Callable[..., str]:
    """Lay out the files of the page, and give what types commands beside them."""
    for name, text in FILE.findall(PAGE):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return lambda *words: _typed(tmp_path, *words, "--dsn", database)


@pytest.mark.slow
async def test_the_example_answers_its_question(typed: Callable[..., str], database: str) -> None:
    """The users, their jobs and their share of the machine are those of the log that was replayed."""
    typed("simulate", str(RECORDS), "--speed", "100")
    typed("seal")
    typed("projections", "run", "--app", "nasa:app", "--until-settled")
    listed = typed("projections", "list")
    assert re.search(r"^endings +1 +running", listed, re.M)
    connection = await asyncpg.connect(database)
    (question,) = QUESTION.findall(PAGE)
    answer = await connection.fetch(question)
    jobs = {row["name"]: row["jobs"] for row in answer}
    assert jobs == {"user-1": 3, "user-2": 3, "user-3": 2, "user-unknown": 1}
    assert abs(sum(row["percent"] for row in answer) - 100) < 1
    assert await connection.fetchval("select count(*) from jobledger_machine_time.open_job") == 0
    assert await connection.fetchval("select sum(jobs) from jobledger_endings.endings") == 9
    await connection.close()
