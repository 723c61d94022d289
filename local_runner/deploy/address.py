"""Finds address, token and certificates of a cluster: from what was typed, the environment and pachctl's configuration."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local_runner.errors import Invalid

_DEFAULT_PORT = 30650
_SCHEMES = ("grpc", "grpcs", "http", "https")


def whole_address(address: str) -> str:
    """An address with scheme and port, as `grpc://localhost:30650`. Raises `Invalid`."""
    try:
        parts = urlsplit(address if "://" in address else f"grpc://{address}")
        port = parts.port or _DEFAULT_PORT
    except ValueError as error:
        raise Invalid(f"{address} is no address of a cluster: {error}", hint="write grpc://HOST:PORT") from None
    if parts.scheme not in _SCHEMES or not parts.hostname or parts.path.strip("/") or parts.query or parts.username or " " in address:
        hint = "write grpc://HOST:PORT, or grpcs:// for one with TLS"
        raise Invalid(f"{address} is no address of a cluster", hint=hint)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


def context_for(address: str) -> Mapping[str, Any]:
    """The context of pachctl's configuration that is for this address, the active one first: a token goes to no other cluster."""
    path = Path(os.environ.get("PACH_CONFIG") or Path.home() / ".pachyderm" / "config.json")
    try:
        config = _object(_object(json.loads(path.read_text())).get("v2"))
    except (OSError, ValueError, RecursionError):
        return {}
    contexts = _object(config.get("contexts"))
    active = os.environ.get("PACH_CONTEXT") or config.get("active_context")
    for name in sorted(contexts, key=lambda name: name != active):
        context = _object(contexts[name])
        with contextlib.suppress(Invalid):
            if _same_place(whole_address(str(context.get("pachd_address") or "")), address):
                return context
    return {}


def _object(value: object) -> Mapping[str, Any]:
    """A part of pachctl's configuration as a mapping; empty if it is something else."""
    return value if isinstance(value, dict) else {}


def _same_place(one: str, other: str) -> bool:
    """Whether two addresses are the same place; one with TLS and one without are not, so that a token for TLS is not sent without."""
    return (urlsplit(one).netloc, _is_secure(one)) == (urlsplit(other).netloc, _is_secure(other))


def _is_secure(address: str) -> bool:
    return urlsplit(address).scheme in ("grpcs", "https")


def certificates(address: str, context: Mapping[str, Any]) -> bytes | None:
    """The certificates to trust, as PEM, None for an address without TLS: the configuration's, SSL_CERT_FILE's, or those of gRPC.

    python-pachyderm would take those of certifi, which it does not install.
    """
    if not _is_secure(address):
        return None
    try:
        found = base64.b64decode(context.get("server_cas") or "")
    except (binascii.Error, ValueError, TypeError):
        found = b""
    if not found and (path := os.environ.get("SSL_CERT_FILE")):
        found = Path(path).read_bytes()
    found = found or pkgutil.get_data("grpc._cython", "_credentials/roots.pem") or b""
    return found[max(found.find(b"-----BEGIN"), 0) :]
