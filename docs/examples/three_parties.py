"""Three parties: a browser with an owner's token, a back end with a key, a function with signed requests.

    python three_parties.py [DSN of a migrated database]

Without a DSN it is that of the settings, or the embedded Postgres; `jobledger migrate` makes either ready. The page is
docs/howto/three-parties.md. What stands for the browser is a program, which does what a script of a page would.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID  # noqa: TC003 - pydantic reads the annotations

import aiohttp
from aiohttp import web
from pydantic import BaseModel

from jobledger import App

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TENANT = "hosting"

# --- the application: what `jobledger serve three_parties:app` serves

app = App("hosting")


class Launched(BaseModel):
    """What a launch comes to."""

    url: str


class LaunchView(BaseModel):
    """A launch as customers see it: no arguments, attempts, workers or tracebacks."""

    id: UUID
    state: Literal["waiting", "running", "live", "failed", "cancelled"]
    result: Launched | None
    error: str | None


@app.resource("launches", public=LaunchView, states={"succeeded": "live"}, error="It did not work; we look at it.")
@app.job(queue="launches", timeout=30, max_attempts=3)
async def launch(site: str) -> Launched:
    """Put a site on the air. The queue is pushed, so the function below does it; a worker could as well."""
    return Launched(url=f"https://{site}")


# --- the function: somewhere else, knows the secret of its queue and nothing more


class Function(BaseHTTPRequestHandler):
    """Does the jobs that it is sent, if it was the service that sent them."""

    protocol_version = "HTTP/1.1"
    secret = b""

    def do_POST(self) -> None:
        """Check the signature before the body is read as anything."""
        body = self.rfile.read(int(self.headers["content-length"]))
        if not self.is_signed(body):
            self.answer(401, {})
            return
        jobs = json.loads(body)["jobs"]
        done = [
            {"id": j["id"], "outcome": "succeeded", "result": {"url": f"https://{j['args']['site']}"}} for j in jobs
        ]
        self.answer(200, {"jobs": done})

    def is_signed(self, body: bytes) -> bool:
        """Say whether the service sent it, within five minutes from now (Standard Webhooks)."""
        message, stamp = self.headers.get("webhook-id", ""), self.headers.get("webhook-timestamp", "")
        if not stamp.isdecimal() or abs(time.time() - int(stamp)) > 300:
            return False
        digest = hmac.digest(self.secret, f"{message}.{stamp}.".encode() + body, "sha256")
        sent = self.headers.get("webhook-signature", "").encode().split()
        return any(hmac.compare_digest(b"v1," + base64.b64encode(digest), one) for one in sent)

    def answer(self, status: int, document: dict[str, Any]) -> None:
        """Answer with JSON."""
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Keep silent."""


# --- the back end: knows who is logged in, and has a key with the role enqueue


class BackEnd:
    """Launches for its users, and gives their pages tokens. Here a header says who is logged in; use a session."""

    def __init__(self, service: str, key: str) -> None:
        """Keep where the service is, and the key; it never leaves this process."""
        self.service = service
        self.headers = {"Authorization": f"Bearer {key}"}

    async def launch(self, request: web.Request) -> web.Response:
        """Enqueue a launch for the user."""
        async with aiohttp.ClientSession(self.service, headers=self.headers) as session:
            wanted = {"site": (await request.json())["site"]}
            query = {"owner": request.headers["X-User"]}
            async with session.post("/v1/launches", params=query, json=wanted) as answer:
                return web.json_response(await answer.json(), status=answer.status)

    async def token(self, request: web.Request) -> web.Response:
        """Make a token for the user's page: for what is public, of this user, for ten minutes."""
        async with aiohttp.ClientSession(self.service, headers=self.headers) as session:
            wanted = {"owner": request.headers["X-User"], "seconds": 600}
            async with session.post("/v1/tokens", json=wanted) as answer:
                return web.json_response(await answer.json(), status=answer.status)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Serve for a block, and give the URL."""
        application = web.Application()
        application.router.add_post("/launch", self.launch)
        application.router.add_post("/token", self.token)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


# --- the browser: has a token, and nothing else


async def token_of(session: aiohttp.ClientSession, back_end: str, user: str) -> str:
    """Ask the back end, which knows us, for a token."""
    async with session.post(f"{back_end}/token", headers={"X-User": user}) as answer:
        token: str = (await answer.json())["token"]
        return token


async def browse(service: str, back_end: str) -> None:
    """Do what ada's page does: follow her launches, start one, see it go live; and what it cannot."""
    async with aiohttp.ClientSession() as session:
        token = await token_of(session, back_end, "ada")
        # In a page: new EventSource(`${service}/v1/launches/events?from_end=true&token=${token}`)
        stream = f"{service}/v1/launches/events"
        async with session.get(stream, params={"from_end": "true", "token": token}) as events:
            async with session.post(
                f"{back_end}/launch", headers={"X-User": "ada"}, json={"site": "ada.example"}
            ) as made:
                id_ = (await made.json())["id"]
            state = ""
            while state != "live":
                line = (await events.content.readline()).decode()
                if line.startswith("data: {") and (seen := json.loads(line[6:])).get("id") == id_:
                    state = seen["state"]
                    print("ada's page sees:", state, (seen["result"] or {}).get("url", ""), flush=True)
        for who, path in (("bob", f"/v1/launches/{id_}"), ("ada", f"/v1/jobs/{id_}"), ("ada", f"/v1/launches/{id_}")):
            headers = {"Authorization": f"Bearer {await token_of(session, back_end, who)}"}
            async with session.get(f"{service}{path}", headers=headers) as answer:
                print(f"{who} asks for {path.replace(id_, 'ID')}: {answer.status}", flush=True)


# --- all of it, on one machine


def jobledger(*words: str) -> str:
    """Run a command of jobledger, and return what it prints."""
    command = [sys.executable, "-m", "jobledger", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()  # noqa: S603


async def main() -> None:
    """Start the three parties and the service between them."""
    if len(sys.argv) > 1:
        os.environ["JOBLEDGER_DSN"] = sys.argv[1]
    # The function is on this machine here; elsewhere it has a public address and https, and this is left out.
    os.environ["JOBLEDGER_SEND_PRIVATE"] = "true"
    serving = [sys.executable, "-u", "-m", "jobledger", "serve", "three_parties:app", "--port", "0"]
    service = await asyncio.create_subprocess_exec(*serving, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parent)
    function = ThreadingHTTPServer(("127.0.0.1", 0), Function)
    threading.Thread(target=function.serve_forever, args=(0.05,), daemon=True).start()
    try:
        assert service.stdout is not None  # noqa: S101 - it is a pipe
        url = (await service.stdout.readline()).decode().split()[-1]
        there = f"http://127.0.0.1:{function.server_address[1]}/"
        pushed = json.loads(jobledger("push", "set", "launches", there, "--max-run", "30", "--json"))
        Function.secret = base64.b64decode(pushed["secret"].removeprefix("whsec_"))
        key = jobledger("keys", "create", "back-end", "--role", "enqueue", "--tenant", TENANT)
        async with BackEnd(url, key).listening() as back_end:
            await browse(url, back_end)
    finally:
        function.shutdown()
        function.server_close()
        service.terminate()
        await service.wait()


if __name__ == "__main__":
    asyncio.run(main())
