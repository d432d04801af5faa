"""The description of the API."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import UUID  # noqa: TC003 - pydantic reads the annotations

import orjson
from pydantic import BaseModel, Field
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from jobledger.errors import WrongState
from jobledger.http.openapi import describe
from jobledger.http.reference_page import POLICY, page
from jobledger.http.route import Answer, Call, Document, Routes
from jobledger.http.service import PARTS
from jobledger.store.roles import Role

DOCS = Path(__file__).resolve().parents[2] / "docs"


def described() -> dict[str, Any]:
    """Return the description of every route of the service itself."""
    return describe(route for part in PARTS for route in part.all)


def test_the_description_is_sound_and_names_each_operation_once() -> None:
    """The schema of OpenAPI 3.1 takes it; each reference leads somewhere; every operation says what it does."""
    document = described()
    assert not [error.message for error in OPENAPI_31_VALIDATOR.iter_errors(document)]
    operations = [one for path in document["paths"].values() for one in path.values()]
    names = [one["operationId"] for one in operations]
    assert len(names) == len(set(names))
    assert all(one["summary"].endswith((".", ":")) for one in operations)
    for reference in _references(document):
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def test_a_route_is_described_by_what_it_states() -> None:
    """Roles, parameters, header, body, each status with its codes; two documents of one name are told apart."""
    routes = Routes("Things")

    def two() -> tuple[type[BaseModel], type[BaseModel]]:
        class Thing(Document):
            """A thing to be made."""

            size: int = Field(description="In metres.")

        made = Thing

        class Thing(Document):  # type: ignore[no-redef]
            """A thing."""

            id: UUID

        return made, Thing

    new, thing = two()

    class Query(Document):
        state: list[str] | None = Field(None, description="Only these.")
        limit: int = Field(50, ge=1, le=100)

    @routes.post(
        "/v1/things/{job}",
        needs=(Role.ENQUEUE,),
        query=Query,
        body=new,
        answer=thing,
        status=201,
        also=(200,),
        errors=(WrongState,),
        headers={"Idempotency-Key": "Once only."},
    )
    async def make(_: Call[Any, Any]) -> Answer:
        """Make a thing.

        Carefully.
        """
        return Answer()

    document = describe(routes.all)
    operation = document["paths"]["/v1/things/{job}"]["post"]
    told = {name: operation[name] for name in ("summary", "description", "x-roles", "operationId")}
    assert told == {
        "summary": "Make a thing.",
        "description": "Carefully.",
        "x-roles": ["enqueue"],
        "operationId": "make",
    }
    assert [(one["in"], one["name"], one["schema"]) for one in operation["parameters"]] == [
        ("path", "job", {"type": "string", "format": "uuid"}),
        ("query", "state", {"type": "array", "items": {"type": "string"}}),
        ("query", "limit", {"type": "integer", "default": 50, "minimum": 1, "maximum": 100}),
        ("header", "Idempotency-Key", {"type": "string"}),
    ]
    body = operation["requestBody"]["content"]["application/json"]
    assert body == {"schema": {"$ref": "#/components/schemas/Thing"}, "example": {"size": 1}}
    made = operation["responses"]["201"]
    assert made["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Thing2"}
    assert "Location" in made["headers"]
    assert {"200", "201", "400", "401", "403", "404", "409", "413", "415", "422", "429", "503"} <= set(
        operation["responses"]
    )
    conflict = operation["responses"]["409"]["$ref"].rpartition("/")[2]
    assert "`wrong_state`" in document["components"]["responses"][conflict]["description"]


def test_the_copy_in_the_documentation_is_the_one_that_is_served() -> None:
    """After a change of a route: python tests/http/test_openapi.py"""
    assert orjson.loads((DOCS / "openapi.json").read_bytes()) == described()


def test_the_page_has_every_operation_loads_nothing_and_runs_nothing() -> None:
    """It works offline: its policy allows the style that is in it, each link leads into it or to the service itself."""
    document = described()
    text = page(document)
    found = Elements()
    found.feed(text)
    assert not found.names & {"script", "link", "img", "iframe", "object", "form", "base"}
    assert not [name for name in found.attributes if name.startswith("on") or name in ("src", "style")]
    operations = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert set(operations) <= found.ids
    assert len(found.ids) == len(found.all_ids)
    assert {target for target in found.links if target != "/openapi.json"} <= {f"#{id_}" for id_ in found.ids}
    (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert POLICY.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")


def test_what_a_page_shows_is_text() -> None:
    """Words of an application cannot become elements of the page."""
    routes = Routes("<b>Bold</b>")

    @routes.get("/v1/<i>", headers={"X": "<script>"})
    async def odd(_: Call[Any, Any]) -> None:
        """Say `<script>alert(1)</script>`."""

    found = Elements()
    found.feed(page(describe(routes.all)))
    assert not found.names & {"script", "i"}


class Elements(HTMLParser):
    """The names, attributes, ids and links of a page."""

    def __init__(self) -> None:
        """Begin without any."""
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.all_ids: list[str] = []
        self.links: set[str] = set()

    @property
    def ids(self) -> set[str]:
        """Each id once."""
        return set(self.all_ids)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note them."""
        self.names.add(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.all_ids.append(value or "")
            if name == "href":
                self.links.add(value or "")


def _references(part: Any) -> list[str]:
    if isinstance(part, list):
        return [one for item in part for one in _references(item)]
    if not isinstance(part, dict):
        return []
    found = [one for item in part.values() for one in _references(item)]
    return found + ([part["$ref"]] if isinstance(part.get("$ref"), str) else [])


if __name__ == "__main__":
    (DOCS / "openapi.json").write_bytes(orjson.dumps(described(), option=orjson.OPT_INDENT_2) + b"\n")
