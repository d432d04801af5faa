"""The page of webhooks: what it shows to check a signature with does so, in each language."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jobledger.delivery import signature

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "webhooks.md"
SECRETS = ["whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2)]
BODY = '{"data":"é"}'.encode()


def _shown(language: str) -> str:
    [code] = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.S)
    return str(code)


def _cases() -> list[tuple[str, dict[str, str], bytes, bool]]:
    headers = signature.sign(SECRETS, "a/1", BODY)
    return [
        *((one, headers, BODY, True) for one in SECRETS),
        ("whsec_" + base64.b64encode(b"3" * 32).decode(), headers, BODY, False),
        (SECRETS[0], headers, BODY + b" ", False),
        (SECRETS[0], headers | {"webhook-id": "a/2"}, BODY, False),
        (SECRETS[0], signature.sign(SECRETS, "a/1", BODY, at=1_000), BODY, False),
        (SECRETS[0], {}, BODY, False),
    ]


def test_the_python_of_the_page_tells_what_is_genuine() -> None:
    """What the service signs passes; other content, other secrets and old requests do not."""
    names: dict[str, Any] = {}
    exec(_shown("python"), names)  # noqa: S102 - the page's own code
    assert [names["is_genuine"](secret, headers, body) for secret, headers, body, _ in _cases()] == [
        genuine for *_, genuine in _cases()
    ]


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_node_of_the_page_tells_what_is_genuine(tmp_path: Path) -> None:
    """The same in Node."""
    cases = [(secret, headers, base64.b64encode(body).decode()) for secret, headers, body, _ in _cases()]
    program = tmp_path / "check.js"
    program.write_text(
        _shown("js")
        + f"const cases = {json.dumps(cases)};\n"
        + "console.log(JSON.stringify(cases.map(([s, h, b]) => isGenuine(s, h, Buffer.from(b, 'base64')))));"
    )
    done = subprocess.run(["node", program], capture_output=True, text=True, check=True, timeout=60)  # noqa: S603, S607
    assert json.loads(done.stdout) == [genuine for *_, genuine in _cases()]
