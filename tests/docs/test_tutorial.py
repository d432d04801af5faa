"""The tutorial's shop, built from the page's own code and run as the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
CODE = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
BUY = """
import asyncio, os, sys
import asyncpg
from order import pay
from shop import settle

async def main():
    async with asyncpg.create_pool(os.environ["JOBLEDGER_DSN"]) as pool:
        await pay(pool, 1, 100)
        await pay(pool, 1, 100)
        async with pool.acquire() as conn:
            await settle.using(conn=conn, tenant="acme").enqueue(1)

asyncio.run(main())
"""
DAY = """
set -euo pipefail
jobledger() { "$PYTHON" -m jobledger "$@"; }
jobledger migrate
"$PYTHON" buy.py
BANK_IS_SILENT=1 jobledger worker shop:app --until-empty
jobledger jobs --state parked
JOB=$(jobledger jobs --state parked --json | sed -E 's/.*"id":"([^"]*)".*/\\1/')
jobledger show "$JOB"
jobledger unpark "$JOB" --reason "not charged: Grace has looked at the bank's list of 3 May"
jobledger worker shop:app --until-empty
jobledger history "$JOB"
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


async def test_the_shop_charges_once_mails_once_and_asks_a_person(empty_database: str, tmp_path: Path) -> None:
    """Bought twice it is charged once, by one receipt; what a person let go on ends, and does not ask again."""
    shop, order, settle = CODE.findall(PAGE.read_text())
    (tmp_path / "shop.py").write_text(f"{shop}\n\n{settle}")
    (tmp_path / "order.py").write_text(order)
    (tmp_path / "buy.py").write_text(BUY)
    connection = await asyncpg.connect(empty_database)
    try:
        await connection.execute("create table orders (id int primary key, state text); insert into orders values (1)")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("JOBLEDGER_", "OTEL_"))}
        told = {"JOBLEDGER_DSN": empty_database, "CARD_TOKEN": "4000-0000", "PYTHON": sys.executable, "COLUMNS": "200"}
        done = subprocess.run(  # noqa: ASYNC221, S603 - our own page, and nothing else runs here
            ["/bin/bash", "-c", DAY],
            cwd=tmp_path,
            env={**kept, **told},
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        ended = await connection.fetch(
            "select kind, tenant, state::text, count(*)::int as jobs from jobledger.jobs group by 1, 2, 3 order by 1, 2"
        )
        assert await connection.fetchval("select state from orders") == "paid"
    finally:
        await connection.close()
    assert [tuple(row) for row in ended] == [
        ("charge", "acme", "succeeded", 1),
        ("receipt", "acme", "succeeded", 2),
        ("settle", "acme", "succeeded", 1),
    ]
    history = done.stdout[done.stdout.index("job.enqueued") :]
    assert "job.parked" in history
    assert "not charged: Grace has looked" in history
