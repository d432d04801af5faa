"""The command line: `jobledger COMMAND`. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line of this process and exit with its status."""
    from jobledger.cli.failures import run  # noqa: PLC0415 - importing jobledger.cli alone must cost nothing

    sys.exit(run(sys.argv[1:]))
