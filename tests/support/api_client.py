"""A client of the server that knows its calls from the descriptors: documents in, documents out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import grpc

from local_runner.server.schema import Document, Message, from_document, message_class, methods, to_document


class ApiClient:
    """Calls by name, such as `client("pfs_v2.API/CreateRepo", repo={"name": "data"})`."""

    def __init__(self, port: int, *, metadata: Mapping[str, str] | None = None, timeout: float = 30.0, certificate: bytes = b"") -> None:
        """With a `certificate`, which the server must show, over TLS."""
        self._port = port
        where = f"127.0.0.1:{port}"
        credentials = grpc.ssl_channel_credentials(certificate) if certificate else None
        self._channel = grpc.secure_channel(where, credentials) if credentials else grpc.insecure_channel(where)
        self._metadata = tuple((metadata or {}).items())
        self._timeout = timeout

    def within(self, **metadata: str) -> ApiClient:
        """Another client, whose calls carry this."""
        return ApiClient(self._port, metadata={name.replace("_", "-"): value for name, value in metadata.items()})

    def close(self) -> None:
        self._channel.close()

    def __call__(self, path: str, requests: Iterable[Document] | None = None, /, **fields: Any) -> Any:
        """The answer as a document; a list of them if the call gives a stream."""
        found = self.start(path, requests, **fields)
        return [to_document(message) for message in found] if methods()[path].gives_stream else to_document(found)

    def start(self, path: str, requests: Iterable[Document] | None = None, /, **fields: Any) -> Any:
        """What gRPC returns: a message, or a stream of them that can be cancelled."""
        method = methods()[path]
        if method.takes_stream:
            sent: Any = iter([from_document(method.request, document) for document in requests or []])
        else:
            sent = from_document(method.request, fields)
        return self.raw(path, sent)

    def raw(self, path: str, sent: Message | Iterator[Message] | bytes) -> Any:
        """As `start`, with messages, or with any bytes in place of one."""
        return self._call(path)(sent, metadata=self._metadata, timeout=self._timeout)

    def begin(self, path: str, sent: Message | Iterator[Message] | bytes) -> Any:
        """A call that gives one message, under way: it can be waited for, and cancelled."""
        return self._call(path).future(sent, metadata=self._metadata, timeout=self._timeout)

    def _call(self, path: str) -> Any:
        method = methods()[path]
        kind = ("stream" if method.takes_stream else "unary") + "_" + ("stream" if method.gives_stream else "unary")
        return getattr(self._channel, kind)(
            f"/{path}",
            request_serializer=lambda found: found if isinstance(found, bytes) else found.SerializeToString(),
            response_deserializer=message_class(method.response).FromString,
        )

    def error(self, path: str, requests: Iterable[Document] | None = None, /, **fields: Any) -> tuple[str, str]:
        """(code, text) of a call that fails."""
        try:
            found = self(path, requests, **fields)
        except grpc.RpcError as error:
            return error.code().name, error.details()  # type: ignore[attr-defined]
        raise AssertionError(f"{path} answered {found}")

    # -- what tests do again and again -----------------------------------------------------------------------------------

    def put(self, repo: str, files: Mapping[str, bytes], branch: str = "master") -> None:
        """Write files as one commit, over what is there."""
        to = {"set_commit": {"branch": {"repo": {"name": repo}, "name": branch}}}
        self("pfs_v2.API/ModifyFile", [to, *changes(files)])

    def get(self, repo: str, path: str, branch: str = "master") -> bytes:
        found = self.start("pfs_v2.API/GetFile", file=file(repo, path, branch))
        return b"".join(piece.value for piece in found)


def changes(files: Mapping[str, bytes]) -> Iterator[Document]:
    """Messages that write files as the clients do: what is there goes first."""
    import base64

    for path, content in files.items():
        yield {"delete_file": {"path": path}}
        yield {"add_file": {"path": path, "raw": base64.b64encode(content).decode()}}


def file(repo: str, path: str, branch: str = "master") -> Document:
    return {"commit": {"branch": {"repo": {"name": repo}, "name": branch}}, "path": path}
