"""Where the service listens: a unix socket, TLS, a port; and what it says where it cannot."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from jobledger.errors import InvalidArgument
from jobledger.http.server import listening
from jobledger.http.service import Service
from jobledger.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from jobledger.store.pool import Store


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1, signed by itself; return the files of it and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "jobledger test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, SHA256())
    )
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    kind = serialization.PrivateFormat.PKCS8
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()))
    return files


async def test_it_listens_on_a_unix_socket_and_with_tls(store: Store, tmp_path: Path) -> None:
    """Either serves the same; the URL says which."""
    path = tmp_path / "api.sock"
    async with listening(Service(store, settings=Settings(http_socket=path))) as url:
        assert url == f"unix:{path}"
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session:
            assert (await session.get("http://service/readyz")).status == 200
    cert, key = certificate(tmp_path)
    settings = Settings(http_port=0, http_tls_cert=cert, http_tls_key=key)
    async with listening(Service(store, settings=settings)) as url:
        assert url.startswith("https://127.0.0.1:")
        trusted = ssl.create_default_context(cafile=str(cert))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted)) as session:
            assert (await session.get(f"{url}/readyz")).status == 200


async def test_where_it_cannot_listen_it_says_what_to_set(store: Store, tmp_path: Path) -> None:
    """A port that is taken, a certificate that is none: one sentence each, and nothing is left open."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidArgument) as told:
            async with listening(Service(store, settings=Settings(http_port=port))):
                pass
        assert "JOBLEDGER_HTTP_PORT" in str(told.value)
        async with listening(Service(store, settings=Settings(http_port=port)), any_port=True) as url:
            assert not url.endswith(f":{port}")
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    settings = Settings(http_port=0, http_tls_cert=broken, http_tls_key=broken)
    with pytest.raises(InvalidArgument, match="certificate"):
        async with listening(Service(store, settings=settings)):
            pass
