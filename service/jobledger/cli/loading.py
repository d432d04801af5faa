"""Finds an application by `module:name`, as `jobledger worker` is given it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from jobledger.errors import InvalidArgument
from jobledger.jobs.app import App

_HINT = "Give it as module:name, such as shop.jobs:app; the working folder is searched, too."


def load_app(address: str | None) -> App:
    """Return the app at `module:name`; what the module itself raises on import passes unchanged.

    Raises:
        InvalidArgument: nothing was given, there is no such module or name, or it is no App.
    """
    if address is None:
        raise InvalidArgument("Which application?", hint=f"{_HINT} Or set JOBLEDGER_APP.")
    module_name, colon, name = address.partition(":")
    if not (colon and module_name and name):
        raise InvalidArgument("The application's address is not module:name.", hint=_HINT)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as missing:
        # A module that it imports in turn is the application's own fault, and is shown as it is.
        if missing.name is None or not f"{module_name}.".startswith(f"{missing.name}."):
            raise
        raise InvalidArgument("There is no such module.", hint=_HINT) from None
    app = module
    for part in name.split("."):
        app = getattr(app, part, None)  # type: ignore[assignment]
    if not isinstance(app, App):
        raise InvalidArgument("The module has no App of that name.", hint=_HINT)
    return app
