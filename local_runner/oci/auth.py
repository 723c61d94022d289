"""Who one is at a registry: passwords that `docker login` or `podman login` left, and what registries ask for them."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from local_runner.errors import Unavailable
from local_runner.oci.reference import DOCKER_HUB

_OF_DOCKER_HUB = "https://index.docker.io/v1/"  # as docker's own file calls it
_HELPER_SECONDS = 30
_TOKEN_USER = "<token>"  # what a helper calls the user where its secret is a token
_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')


class Credentials(NamedTuple):
    """A name and a password, or a token that stands for both."""

    user: str = ""
    password: str = ""
    identity_token: str = ""

    @property
    def basic(self) -> str:
        """The value of an Authorization header."""
        return f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}"


class Challenge(NamedTuple):
    """What a registry asks for: a scheme in lower case, `basic` or `bearer`, and its parameters."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenge(header: str) -> Challenge:
    """The first challenge of a WWW-Authenticate header (RFC 7235, 2.1)."""
    scheme, _, rest = header.strip().partition(" ")
    found = {name.lower(): re.sub(r"\\(.)", r"\1", quoted) or plain for name, quoted, plain in _PARAMETER.findall(rest)}
    return Challenge(scheme.lower(), found)


def find_credentials(registry: str) -> Credentials | None:
    """What this user is known by at a registry; None where he never logged in.

    Read are, in this order, $REGISTRY_AUTH_FILE, docker's config.json ($DOCKER_CONFIG or ~/.docker) and podman's auth.json.
    Raises `Unavailable` for a file that cannot be read, or for a credential helper that does not answer.
    """
    for path in _files():
        try:
            document = json.loads(path.read_text())
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, ValueError) as why:
            reason = why.strerror if isinstance(why, OSError) else why
            raise Unavailable(f"passwords for registries cannot be read from {path}: {reason}", hint="mend it, or log in again") from None
        if isinstance(document, dict) and (found := _of_document(document, registry, path)):
            return found
    return None


def _files() -> Iterator[Path]:
    home = Path(os.path.expanduser("~"))
    if named := os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
    yield Path(os.environ.get("DOCKER_CONFIG") or home / ".docker", "config.json")
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime, "containers/auth.json")
    yield Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config", "containers/auth.json")


def _of_document(document: Mapping[str, Any], registry: str, path: Path) -> Credentials | None:
    keys = (_OF_DOCKER_HUB, "index.docker.io", "docker.io") if registry == DOCKER_HUB else (registry,)
    helpers = document.get("credHelpers") or {}
    for key in keys:
        if (helper := helpers.get(key)) and (found := _ask(str(helper), key)):
            return found
    entries = {_host(name) if registry != DOCKER_HUB else name: entry for name, entry in (document.get("auths") or {}).items()}
    for key in keys:
        if isinstance(entry := entries.get(key), dict) and (found := _of_entry(entry, key, path)):
            return found
    store = document.get("credsStore")
    return next(filter(None, (_ask(str(store), key) for key in keys)), None) if store else None


def _host(name: str) -> str:
    """A key of `auths` as a registry: some have written it as an address. One with a namespace stands for that alone, so it stays."""
    return re.sub(r"^https?://|/(?:v[12]/?)?$", "", name)


def _of_entry(entry: Mapping[str, Any], registry: str, path: Path) -> Credentials | None:
    token = str(entry.get("identitytoken") or "")
    user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if encoded := entry.get("auth"):
        try:
            user, _, password = base64.b64decode(str(encoded), validate=True).decode().partition(":")
        except ValueError:
            raise Unavailable(
                f"{path}: what is kept for {registry} cannot be read", hint=f"log in again: docker login {registry}"
            ) from None
    return Credentials(user, password.rstrip("\0"), token) if token or user else None


def _ask(helper: str, registry: str) -> Credentials | None:
    """What a credential helper knows (docker-credential-helpers: `get`, with the registry on standard input)."""
    if "/" in helper:
        raise Unavailable(f"credential helper {helper!r} is no name of a program", hint="mend docker's config.json")
    program = f"docker-credential-{helper}"
    try:
        answer = subprocess.run([program, "get"], input=registry, capture_output=True, text=True, timeout=_HELPER_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as why:
        raise Unavailable(
            f"{program}, which docker's config.json names, does not answer: {why}", hint=f"install it, or docker login {registry}"
        ) from None
    if answer.returncode:
        return None  # it knows nothing of this registry; whatever else is wrong, the registry will say that nobody is known
    try:
        document = json.loads(answer.stdout)
        user, secret = str(document["Username"]), str(document["Secret"])
    except (ValueError, KeyError, TypeError):
        raise Unavailable(f"{program} answers something that cannot be read", hint=f"log in again: docker login {registry}") from None
    return Credentials(identity_token=secret) if user == _TOKEN_USER else Credentials(user, secret)
