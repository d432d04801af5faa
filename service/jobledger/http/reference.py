"""The reference of the API: its description for programs, and the same as a page for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobledger.http.route import Answer, Routes

if TYPE_CHECKING:
    from jobledger.http.route import Call

routes = Routes("Reference")


@routes.get("/openapi.json", public=True, answer=dict[str, Any], cached=True)
async def openapi(call: Call[Any, Any]) -> Answer:
    """Describe the API as an OpenAPI 3.1 document.

    It is made from what is served, the application's own resources among it.
    """
    return Answer(call.service.description)
