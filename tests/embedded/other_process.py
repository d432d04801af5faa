"""A second process for the tests: attaches to a data folder, and obeys the words on its input."""

import json
import os
import signal
import sys

from jobledger.embedded import Attachment, attach


def obey(word: str, attachment: Attachment) -> None:
    """Do what one word says."""
    if word == "ensure":
        attachment.ensure()
    elif word == "close":
        attachment.close()
    elif word == "exit":
        sys.exit(0)
    elif word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif word == "fork":
        child = os.fork()
        if child == 0:
            attachment.close()
            sys.exit(0)
        os.waitpid(child, 0)


def main() -> None:
    """Attach, then after each word tell what is held."""
    attachment = attach(sys.argv[1])
    print(tell(attachment), flush=True)
    for line in sys.stdin:
        obey(line.strip(), attachment)
        print(tell(attachment), flush=True)


def tell(attachment: Attachment) -> str:
    """Return what is held, as one line."""
    return json.dumps({"dsn": attachment.dsn, "owner": attachment.owner, "pid": attachment.pid})


if __name__ == "__main__":
    main()
