"""Write what is generated into the pages of docs/, between their marks; with --check, only tell what is out of date.

    python deploy/generate_docs.py [--check]

A mark is `<!-- generated: NAME -->`, its end `<!-- end of NAME -->`. Exit status: 1 where --check found a difference.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from jobledger.cli import reference
from jobledger.events import catalogue
from jobledger.lifecycle import chart

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DOCS = Path(__file__).resolve().parents[1] / "docs"

GENERATED: Mapping[str, tuple[str, Callable[[], str]]] = {
    "state machine": ("lifecycle.md", chart.page),
    "events": ("events.md", catalogue.page),
    "commands": ("cli.md", reference.page),
}


def replaced(text: str, name: str, body: str) -> str:
    """Return the page with `body` between the marks of `name`. Raises ValueError where the marks are not there once."""
    begin, end = f"<!-- generated: {name} -->", f"<!-- end of {name} -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"the page needs one pair of marks for {name}")
    before, rest = text.split(begin)
    return f"{before}{begin}\n\n{body}\n\n{end}{rest.split(end)[1]}"


def main(arguments: list[str]) -> int:
    """Write or check every page."""
    stale = 0
    for name, (page, body) in GENERATED.items():
        path = DOCS / page
        old = path.read_text(encoding="utf-8")
        new = replaced(old, name, body())
        if new != old:
            stale += 1
            sys.stdout.write(f"docs/{page}: {name} was out of date\n")
            if "--check" not in arguments:
                path.write_text(new, encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
