"""Progress of long commands on stderr: bars at a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import TaskID

_EVERY_S = 2.0


@contextmanager
def bars() -> Iterator[tuple[Callable[[str], None], Callable[[str, int, int], None]]]:
    """Give two functions: `say(sentence)` and `progress(what, done, total)`, cheap enough to be called often."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain(console)
        return
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    ) as shown:
        tasks: dict[str, TaskID] = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what, total=total)
            shown.update(tasks[what], completed=done)

        yield lambda sentence: shown.console.print(sentence, style="dim"), progress


def _plain(console: Console) -> tuple[Callable[[str], None], Callable[[str, int, int], None]]:
    due: dict[str, float] = {}
    told: dict[str, int] = {}

    def say(sentence: str) -> None:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def progress(what: str, done: int, total: int) -> None:
        if told.get(what) == done:
            return
        now = time.monotonic()
        if now >= due.get(what, 0.0) or (done == total and due.get(what) != float("inf")):
            due[what] = float("inf") if done == total else now + _EVERY_S
            told[what] = done
            say(f"{what}: {done:,} of {total:,}")

    return say, progress
