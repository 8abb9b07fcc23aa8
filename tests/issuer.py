"""An issuer of tokens as OpenID Connect has them: discovery and keys over HTTP, and tokens of every kind."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "api://dicom"
SUBJECT = "5e0f3b0a-1d5c-4f0e-9c6a-0d6a2f4b7c11"
APPLICATION = "0b9d7a52-6a0e-4a8e-8a71-6f1f1c5f2d22"
CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}


class SigningKey:
    """A key pair of an issuer."""

    def __init__(self, kid: str, algorithm: str = "RS256", size: int = 2048) -> None:
        self.kid = kid
        self.algorithm = algorithm
        self.private = (
            ec.generate_private_key(CURVES[algorithm]())
            if algorithm in CURVES
            else rsa.generate_private_key(public_exponent=65537, key_size=size)
        )

    def jwk(self, **members: str) -> dict[str, Any]:
        """The public half, as an issuer publishes it (RFC 7517)."""
        kind = ECAlgorithm if self.algorithm in CURVES else RSAAlgorithm
        return {
            **kind.to_jwk(self.private.public_key(), as_dict=True),
            "kid": self.kid,
            "use": "sig",
            **members,
        }

    def pem(self) -> bytes:
        """The public half as a text that is not secret at all."""
        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def claims(issuer: str, **changed: Any) -> dict[str, Any]:
    """The claims of a token that counts, but for what is changed; None takes one away."""
    now = int(time.time())
    whole = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": "pairwise",
        "oid": SUBJECT,
        "azp": APPLICATION,
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        **changed,
    }
    return {name: value for name, value in whole.items() if value is not None}


def signed(key: SigningKey, content: dict[str, Any], algorithm: str = "", **header: Any) -> str:
    """A token of a key."""
    fields = {"kid": key.kid, **header}
    return jwt.encode(content, key.private, algorithm or key.algorithm, fields)


def unsigned(content: dict[str, Any], kid: str = "") -> str:
    """A token that nobody has signed."""
    return jwt.encode(content, None, "none", {"kid": kid})


def confused(key: SigningKey, content: dict[str, Any]) -> str:
    """A token with the public key as the secret of HS256: it counts for who does not look at the algorithm."""
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "HS256", "typ": "JWT", "kid": key.kid}, content)
    )
    code = base64.urlsafe_b64encode(hmac.digest(key.pem(), head + b"." + body, "sha256")).rstrip(b"=")
    return b".".join([head, body, code]).decode()


@dataclass(slots=True)
class Issuer:
    """A running issuer."""

    keys: list[SigningKey]
    url: str = ""
    fetched: list[str] = field(default_factory=list)
    away: bool = False

    def token(self, key: SigningKey | None = None, **changed: Any) -> str:
        """A token of this issuer, which counts but for what is changed."""
        return signed(key or self.keys[0], claims(self.url, **changed))

    async def answer(self, request: web.Request) -> web.Response:
        """Answer discovery and the request for the keys."""
        self.fetched.append(request.path)
        if self.away:
            return web.Response(status=503)
        if request.path.endswith("/keys"):
            return web.json_response({"keys": [key.jwk() for key in self.keys]})
        return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})


@contextmanager
def issuing(*keys: SigningKey) -> Iterator[Issuer]:
    """An issuer on a free port, in a thread of its own, until the end."""
    issuer = Issuer(list(keys))
    ready = threading.Event()
    loop = asyncio.new_event_loop()

    async def start() -> web.AppRunner:
        application = web.Application()
        application.router.add_get("/tenant/.well-known/openid-configuration", issuer.answer)
        application.router.add_get("/tenant/keys", issuer.answer)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        issuer.url = f"http://127.0.0.1:{runner.addresses[0][1]}/tenant"
        ready.set()
        return runner

    def run() -> None:
        runner = loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(10)
        yield issuer
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
