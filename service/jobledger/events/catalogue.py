"""The catalogue of events as text: docs/events.md, made from the models and their docstrings."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from jobledger.events.vocabulary import MODELS

if TYPE_CHECKING:
    from jobledger.events.data import EventData

_FORMATS = {"date-time": "moment (ISO 8601 with offset)", "uuid": "uuid"}


def page() -> str:
    """Return one section for each event type, as it stands between the marks in docs/events.md."""
    return "\n\n".join(_section(model) for model in MODELS.values())


def _section(model: type[EventData]) -> str:
    parts = [f"### `{model.TYPE}`", inspect.getdoc(model) or ""]
    schema = model.model_json_schema(by_alias=True, mode="validation")
    fields = schema.get("properties", {})
    if fields:
        definitions = schema.get("$defs", {})
        required = set(schema.get("required", ()))
        rows = ["| key | is | absent means |", "| --- | --- | --- |"]
        rows += [
            f"| `{key}` | {_form(form, definitions)} | (always there) |"
            if key in required
            else f"| `{key}` | {_form(_without_null(form), definitions)} | {_absent(form)} |"
            for key, form in fields.items()
        ]
        parts.append("\n".join(rows))
    else:
        parts.append("No data.")
    return "\n\n".join(parts)


def _form(form: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Say in words what a JSON Schema allows."""
    if "$ref" in form:
        return _form(definitions[form["$ref"].rsplit("/", 1)[-1]], definitions)
    if "anyOf" in form:
        return " or ".join(dict.fromkeys(_form(choice, definitions) for choice in form["anyOf"]))
    if "enum" in form:
        return "one of " + ", ".join(f"`{value}`" for value in form["enum"])
    if form.get("format") in _FORMATS:
        return _FORMATS[form["format"]]
    match form.get("type"):
        case "array":
            return f"list of {_form(form.get('items', {}), definitions)}"
        case "object" if "properties" in form:
            inner = ", ".join(f"`{key}`: {_form(value, definitions)}" for key, value in form["properties"].items())
            return f"object {{{inner}}}"
        case "object":
            return "object"
        case str(name):
            return f"{name}{_bounds(form)}"
        case _:
            return "any JSON"


def _without_null(form: dict[str, Any]) -> dict[str, Any]:
    """Null and absent are the same to a key that may be absent."""
    if "anyOf" not in form:
        return form
    return {**form, "anyOf": [choice for choice in form["anyOf"] if choice.get("type") != "null"]}


def _bounds(form: dict[str, Any]) -> str:
    low, high = form.get("minimum"), form.get("maximum")
    if low is None:
        return ""
    return f", {low:g} or more" if high is None else f", {low:g} to {high:g}"


def _absent(form: dict[str, Any]) -> str:
    default = form.get("default")
    return "none" if default in (None, "", []) else f"`{default}`"
