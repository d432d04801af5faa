"""The JSON Schemas of the API's documents, each under its name once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Mapping

Mode = Literal["validation", "serialization"]

_HERE: Final = "#/$defs/"
_THERE: Final = "#/components/schemas/"


class Schemas:
    """What is under `components/schemas`. Two documents of the same name that differ are told apart by a number."""

    def __init__(self) -> None:
        """Begin without any."""
        self.found: dict[str, dict[str, Any]] = {}

    def of(self, model: Any, mode: Mode) -> dict[str, Any]:
        """Return the schema of a model, or of any type that pydantic knows: a reference where it has a name."""
        schema = TypeAdapter(model).json_schema(mode=mode)
        parts = schema.pop("$defs", {})
        named = isinstance(model, type) and schema.get("type") == "object" and "title" in schema
        if named:
            parts[model.__name__] = schema
        names = {name: self._name(name, part) for name, part in parts.items()}
        for name, part in parts.items():
            self.found[names[name]] = _moved(part, names)
        return {"$ref": _THERE + names[model.__name__]} if named else _moved(schema, names)

    def parameters(self, model: Any) -> list[tuple[str, dict[str, Any], bool]]:
        """Return name, schema and whether it must be given, of each field of a query."""
        schema = TypeAdapter(model).json_schema(mode="validation")
        parts = schema.pop("$defs", {})
        must = schema.get("required", ())
        found = []
        for name, part in schema.get("properties", {}).items():
            if "$ref" in part:
                part = parts[part["$ref"].removeprefix(_HERE)]  # noqa: PLW2901 - a query holds no documents
            found.append((name, _inlined(_of_query(part), parts), name in must))
        return found

    @staticmethod
    def must_be_given(model: Any) -> bool:
        """Say whether a body has to be sent: one that is left out is taken for `{}`."""
        return bool(TypeAdapter(model).json_schema(mode="validation").get("required"))

    def _name(self, name: str, part: Mapping[str, Any]) -> str:
        wanted, count = name, 1
        while wanted in self.found and not self._same(wanted, name, part):
            count += 1
            wanted = f"{name}{count}"
        return wanted

    def _same(self, known: str, name: str, part: Mapping[str, Any]) -> bool:
        same: bool = self.found[known] == _moved(part, {name: known})
        return same


def _moved(part: Any, names: Mapping[str, str]) -> Any:
    """Return a schema whose references lead into the components."""
    if isinstance(part, list):
        return [_moved(one, names) for one in part]
    if not isinstance(part, dict):
        return part
    found = {key: _moved(value, names) for key, value in part.items()}
    target = found.get("$ref")
    if isinstance(target, str) and target.startswith(_HERE):
        name = target.removeprefix(_HERE)
        found["$ref"] = _THERE + names.get(name, name)
    return found


def _inlined(part: Any, parts: Mapping[str, Any]) -> Any:
    if isinstance(part, list):
        return [_inlined(one, parts) for one in part]
    if not isinstance(part, dict):
        return part
    target = part.get("$ref")
    if isinstance(target, str):
        return _inlined(parts[target.removeprefix(_HERE)], parts)
    return {key: _inlined(value, parts) for key, value in part.items() if key != "title"}


def _of_query(part: dict[str, Any]) -> dict[str, Any]:
    """Return a field's schema as a query can hold it: what is left out is null, and null cannot be written."""
    found = {key: value for key, value in part.items() if key != "title"}
    if found.get("default", 0) is None:
        del found["default"]
    choices = [one for one in found.pop("anyOf", ()) if one.get("type") != "null"]
    if len(choices) == 1:
        return {**choices[0], **found}
    return {**found, "anyOf": choices} if choices else found
