"""Translates a cluster's errors, gRPC codes and texts (reference pfs 1.10), to `LocalRunnerError` with a hint."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from local_runner.errors import LocalRunnerError, NotFound, Refused, Unavailable

_F = TypeVar("_F", bound=Callable[..., Any])


class _HasAddress(Protocol):
    address: str


def said_plainly(method: _F) -> _F:
    """Decorates methods that call a cluster: gRPC errors become `LocalRunnerError`."""

    @functools.wraps(method)
    def call(self: _HasAddress, *args: Any, **kwargs: Any) -> Any:
        import grpc  # 60 ms; only who goes to a cluster needs it

        try:
            return method(self, *args, **kwargs)
        except grpc.RpcError as error:
            raise _plain(self.address, error) from None
        except ConnectionError as error:  # python-pachyderm wraps some
            cause = error.__cause__
            raise (_plain(self.address, cause) if isinstance(cause, grpc.RpcError) else _unreachable(self.address, str(error))) from None

    return call  # type: ignore[return-value]


def found(look: Callable[[], Any], but: Sequence[str] = ("NOT_FOUND",)) -> Any:
    """The answer of a call, None if it fails with one of these codes."""
    import grpc

    try:
        return look()
    except grpc.RpcError as error:
        if error.code().name not in but:
            raise
        return None


def _plain(address: str, error: Any) -> LocalRunnerError:
    code, text = error.code().name, re.sub(r"\s+", " ", error.details() or "").strip()
    if code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
        return _unreachable(address, text)
    if code == "UNAUTHENTICATED" or "try logging in" in text:
        hint = "run `pachctl auth login`, or put a token into PACH_TOKEN; `pachctl auth get-robot-token NAME` makes one"
        return Refused(f"{address} wants a login: {text}", hint=hint)
    if code == "PERMISSION_DENIED":
        return Refused(f"{address} does not allow it: {text}", hint="ask whoever manages the cluster for that role")
    if code == "NOT_FOUND":
        return NotFound(f"{address}: {text}")
    if code == "UNIMPLEMENTED":
        return Unavailable(f"{address} does not speak Pachyderm's API: {text}", hint="is that the address of pachd, and a 2.x cluster?")
    return Refused(f"{address}: {text or code}")


def _unreachable(address: str, text: str) -> Unavailable:
    hint = "is it up, and is this its address? `pachctl port-forward` brings a cluster to grpc://localhost:30650"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        hint = "name the certificate to trust in SSL_CERT_FILE, or give it to pachctl: `pachctl config set context`, server_cas"
    elif "WRONG_VERSION_NUMBER" in text:
        hint = "that port answers without TLS: is it grpc:// instead of grpcs://?"
    return Unavailable(f"{address} cannot be reached: {text.strip()}", hint=hint)
