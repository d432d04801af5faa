"""Ship the two SQL folders of the repository's root inside the wheel; an editable install reads them where they lie."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class SqlFolders(BuildHookInterface[Any]):
    """Map `migrations/` and `projections/` to `jobledger/` in a standard wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the folders for a standard build only: an editable one would copy them and read stale copies."""
        if version == "standard":
            build_data["force_include"].update({name: f"jobledger/{name}" for name in ("migrations", "projections")})
