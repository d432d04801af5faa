"""The reference as one page of HTML: it loads nothing, runs nothing, and is searched by the browser's own search."""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_STYLE: Final = Path(__file__).with_name("reference.css").read_text(encoding="utf-8")
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may load: nothing but the style that is in it."""
_RANGES: Final = (
    ("minimum", "maximum", "{}"),
    ("minLength", "maxLength", "{} characters"),
    ("minItems", "maxItems", "{} of them"),
)


def page(document: Mapping[str, Any]) -> str:
    """Return the page of an OpenAPI document."""
    info = document["info"]
    body = "\n".join(_body(document))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(info['title'])} API</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{_contents(document)}\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _contents(document: Mapping[str, Any]) -> str:
    lines = ["<nav>", f'<a href="#top"><b>{escape(document["info"]["title"])}</b> API</a>']
    for tag, operations in _by_tag(document).items():
        lines.append(f'<strong><a href="#{_slug(tag)}">{escape(tag)}</a></strong><ul>')
        for method, path, operation in operations:
            target = f"#{escape(operation['operationId'])}"
            lines.append(f'<li><a href="{target}">{_method(method)}<span>{escape(path)}</span></a></li>')
        lines.append("</ul>")
    lines.append('<strong><a href="#documents">Documents</a></strong><strong><a href="#problems">Problems</a></strong>')
    return "\n".join([*lines, "</nav>"])


def _body(document: Mapping[str, Any]) -> Iterator[str]:
    info = document["info"]
    yield f'<h1 id="top">{escape(info["title"])} API</h1><p class="faint">Version {escape(info["version"])}. '
    yield 'For programs: <a href="/openapi.json">openapi.json</a>.</p>'
    yield _text(info["description"])
    for tag, operations in _by_tag(document).items():
        yield f'<h2 id="{_slug(tag)}">{escape(tag)}</h2>'
        for method, path, operation in operations:
            yield from _operation(method, path, operation, document)
    yield '<h2 id="documents">Documents</h2>'
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield f'<section><h3 id="{_slug("document " + name)}"><code>{escape(name)}</code></h3>'
        yield _text(schema.get("description", ""))
        yield _fields(schema) if schema.get("properties") else f"<p>{_kind(schema)}</p>"
        yield "</section>"
    yield '<h2 id="problems">Problems</h2>'
    for name, response in sorted(document["components"]["responses"].items()):
        yield f'<section><h3 id="{_slug("problem " + name)}">{escape(_status(name))}</h3>'
        yield f"{_text(response['description'])}</section>"


def _operation(method: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[str]:
    yield f'<section><h3 id="{escape(operation["operationId"])}">{_method(method)} <code>{escape(path)}</code></h3>'
    yield _text(operation["summary"])
    yield _text(operation.get("description", ""))
    roles = " or ".join(f"<code>{escape(role)}</code>" for role in operation.get("x-roles", ()))
    needs = f"Needs the role {roles}." if roles else "Any key." if operation["security"] else "Public: needs no key."
    yield f'<p class="faint">{needs}</p>'
    if operation.get("parameters"):
        yield _parameters(operation["parameters"])
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<h4>Body</h4><p>{_kind(content['schema'])}, as <code>{escape(media)}</code></p>"
        if "example" in content:
            shown = orjson.dumps(content["example"], option=orjson.OPT_INDENT_2).decode()
            yield f"<details><summary>Example</summary><pre>{escape(shown)}</pre></details>"
    yield "<h4>Answers</h4>"
    yield _answers(operation["responses"], document)
    yield "</section>"


def _parameters(parameters: list[Mapping[str, Any]]) -> str:
    rows = []
    for one in parameters:
        must = " <b>required</b>" if one.get("required") and one["in"] != "path" else ""
        about = _inline(one.get("description", ""))
        kind = f'{_kind(one["schema"])} <span class="faint">{escape(_rules(one["schema"]))}</span>'
        rows.append(
            f"<tr><td><code>{escape(one['name'])}</code></td><td>{one['in']}{must}</td><td>{kind}<br>{about}</td></tr>"
        )
    head = "<tr><th>parameter</th><th>in</th><th>is</th></tr>"
    return f'<h4>Parameters</h4><div class="wide"><table>{head}{"".join(rows)}</table></div>'


def _answers(responses: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    rows, problems = [], []
    for status, response in responses.items():
        if "$ref" in response:
            name = response["$ref"].rpartition("/")[2]
            codes = re.findall(r"`(\w+)`:", document["components"]["responses"][name]["description"])
            link = f'<a href="#{_slug("problem " + name)}">{status}</a>'
            problems.append(f"<tr><td>{link}</td><td>{', '.join(f'<code>{code}</code>' for code in codes)}</td></tr>")
            continue
        content = response.get("content", {})
        kinds = "; ".join(
            f"{_kind(one.get('schema', {}))} as <code>{escape(media)}</code>" for media, one in content.items()
        )
        rows.append(f"<tr><td>{status}</td><td>{_inline(response['description'])} {kinds}</td></tr>")
    table = f'<div class="wide"><table>{"".join(rows)}</table></div>'
    if not problems:
        return table
    told = f'<div class="wide"><table>{"".join(problems)}</table></div>'
    return f"{table}<details><summary>Problems</summary>{told}</details>"


def _fields(schema: Mapping[str, Any]) -> str:
    rows = []
    for name, part in schema["properties"].items():
        must = " <b>required</b>" if name in schema.get("required", ()) else ""
        default = part.get("default")
        stands = f" default <code>{escape(orjson.dumps(default).decode())}</code>" if default is not None else ""
        rules = f'<span class="faint">{escape(_rules(part))}</span>'
        about = _inline(part.get("description", ""))
        rows.append(
            f"<tr><td><code>{escape(name)}</code></td><td>{_kind(part)}{must}{stands} {rules}<br>{about}</td></tr>"
        )
    return f'<div class="wide"><table>{"".join(rows)}</table></div>'


def _kind(schema: Mapping[str, Any]) -> str:
    """Return in words what a schema takes, as HTML."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{_slug("document " + name)}">{escape(name)}</a>'
    if "const" in schema:
        return f"<code>{escape(str(schema['const']))}</code>"
    if "enum" in schema:
        return ", ".join(f"<code>{escape(str(one))}</code>" for one in schema["enum"])
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(_kind(one) for one in schema[key]))
    kind = schema.get("type")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict) and not schema.get("properties"):
        return f"object of {_kind(schema['additionalProperties'])}"
    told = schema.get("format") or kind
    return escape(str(told)) if told else "anything"


def _rules(schema: Mapping[str, Any]) -> str:
    found = []
    for least, most, text in _RANGES:
        if least in schema and most in schema:
            found.append(text.format(f"{schema[least]} to {schema[most]}"))
        else:
            found += [text.format(f"at least {schema[least]}")] if least in schema else []
            found += [text.format(f"at most {schema[most]}")] if most in schema else []
    for one in schema.get("anyOf", ()):
        found += [_rules(one)] if _rules(one) else []
    return ", ".join(found)


def _text(text: str) -> str:
    """Return paragraphs and lists of Markdown as HTML."""
    blocks = []
    for block in text.strip().split("\n\n"):
        lines = [line.strip() for line in block.strip().splitlines()]
        if lines and all(line.startswith("- ") for line in lines):
            blocks.append("<ul>" + "".join(f"<li>{_inline(line[2:])}</li>" for line in lines) + "</ul>")
        elif lines:
            blocks.append(f"<p>{_inline(' '.join(lines))}</p>")
    return "".join(blocks)


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))


def _by_tag(document: Mapping[str, Any]) -> dict[str, list[tuple[str, str, Mapping[str, Any]]]]:
    found: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = {tag["name"]: [] for tag in document["tags"]}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            found[operation["tags"][0]].append((method, path, operation))
    return found


def _method(method: str) -> str:
    return f'<span class="method {method}">{method.upper()}</span>'


def _status(name: str) -> str:
    return name.removeprefix("Problem").partition(".")[0]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
