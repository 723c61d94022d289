"""Makes documents of where a file comes from, and of what was made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local_runner.model.units import rfc3339

if TYPE_CHECKING:
    from local_runner.pipelines.why import DatumNode, FileNode


def file_document(node: FileNode, depth: int | None = None) -> dict[str, Any]:
    """The document of a file and of everything it came from, or that came from it: hashes in hex, sizes in bytes."""
    document: dict[str, Any] = {
        "repo": str(node.commit.repo), "commit": node.commit.id, "path": node.path, "size_bytes": node.size, "hash": node.hash.hex(),
    }  # fmt: skip
    if node.gone:
        document["gone"] = node.gone
    if node.put:
        document["put"] = [
            {"commit": put.commit.id, "time": rfc3339(put.time), "description": put.description, "paths": list(put.paths)}
            for put in node.put
        ]
    if node.datums and depth != 0:
        document["datums"] = [_datum_document(datum, depth and depth - 1) for datum in node.datums]
    return document


def _datum_document(node: DatumNode, depth: int | None) -> dict[str, Any]:
    document: dict[str, Any] = {"pipeline": str(node.pipeline), "job": node.job, "id": node.id, "state": node.state}
    if node.again:
        return document | {"again": True}
    return document | {"files": [file_document(file, depth) for file in node.files]}
