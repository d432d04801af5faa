"""A process that forks sealers which end themselves by SIGKILL at a step of their own.

In: lines of an address and a step, the how-manyth line of the sealer's code it ends before. Out: for each, once it is
dead, that line.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobledger.order import log, sealer
from jobledger.store.pool import Store

if TYPE_CHECKING:
    from types import FrameType

FILES = {log.__file__, sealer.__file__}


def doomed(step: int) -> None:
    """End this process before the how-manyth line that is run of the sealer's code."""
    left = step

    def line(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if event == "line":
            left -= 1
            if left == 0:
                print(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}", flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
        return line

    def call(frame: FrameType, _event: str, _arg: Any) -> Any:
        return line if frame.f_code.co_filename in FILES else None

    sys.settrace(call)


async def seal_until_dead(dsn: str, step: int) -> None:
    """Seal, as a worker does, until the step."""
    async with await Store.connect(dsn, pool_min=1, pool_max=2) as store:
        doomed(step)
        await sealer.Sealer(store, busy_s=0.001).run()


def main() -> None:
    """Fork one for each line of the input."""
    for words in sys.stdin:
        dsn, step = words.split()
        child = os.fork()
        if child == 0:
            asyncio.run(seal_until_dead(dsn, int(step)))
            os._exit(1)
        _, status = os.waitpid(child, 0)
        if os.WTERMSIG(status) != signal.SIGKILL:
            raise SystemExit(f"the sealer ended by itself, at step {step}")


if __name__ == "__main__":
    main()
