"""What lies on disk under a server that runs on."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def contents(root: Path) -> Iterator[tuple[Path, bytes]]:
    """Give every file below `root` with its content; what is taken away while it is listed holds nothing any more."""
    for folder, _, names in os.walk(root):
        for file in [Path(folder) / name for name in names]:
            with contextlib.suppress(FileNotFoundError):
                if file.is_file() and not file.is_symlink():
                    yield file, file.read_bytes()
