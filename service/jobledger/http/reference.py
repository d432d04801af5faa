"""The reference of the API: its description for programs, and the same as a page for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from jobledger.http.reference_page import POLICY
from jobledger.http.route import HTML, Answer, Routes

if TYPE_CHECKING:
    from jobledger.http.route import Call

routes = Routes("Reference")


@routes.get("/openapi.json", public=True, answer=dict[str, Any], cached=True)
async def openapi(call: Call[Any, Any]) -> Answer:
    """Describe the API as an OpenAPI 3.1 document.

    It is made from what is served, the application's own resources among it.
    """
    return Answer(call.service.description)


@routes.get("/docs", public=True, media=(HTML,))
async def reference_page(call: Call[Any, Any]) -> web.Response:
    """Show this reference as a page.

    It is one document that loads nothing and runs nothing, so that it works offline.
    """
    headers = {
        "Content-Security-Policy": POLICY,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",
    }
    response = web.Response(body=call.service.reference, content_type=HTML, charset="utf-8", headers=headers)
    response.enable_compression()
    return response
