"""The command line run in this process, with its output caught."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from jobledger.cli.failures import run

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command answered."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Stdout as one JSON document."""
        return json.loads(self.out)

    @property
    def problem(self) -> dict[str, Any]:
        """Stderr's last line as an error's JSON object."""
        found: dict[str, Any] = json.loads(self.err.strip().splitlines()[-1])
        return found


Cli = "Callable[..., Answer]"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """Give a function that runs one command and returns its answer; nothing of the environment counts."""
    for name in ("JOBLEDGER_DSN", "DATABASE_URL", "JOBLEDGER_APP", "JOBLEDGER_ACTOR"):
        monkeypatch.delenv(name, raising=False)

    def call(*words: str) -> Answer:
        capsys.readouterr()
        status = run(words)
        told = capsys.readouterr()
        return Answer(status, told.out, told.err)

    return call
