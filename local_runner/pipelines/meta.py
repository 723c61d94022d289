"""Converts datums to the documents of a meta repo, `/meta/<datum id>/meta`, and back (reference pps 3.8)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from local_runner.model.datums import Datum, DatumInfo, DatumState, DatumStats, InputFile, make_datum
from local_runner.model.inputs import Cron, Pfs
from local_runner.model.refs import JobRef
from local_runner.model.units import rfc3339


def meta_path(datum_id: str) -> str:
    """The path of a datum's document."""
    return f"/meta/{datum_id}/meta"


def files_path(datum_id: str) -> str:
    """The folder with what a datum saw and wrote: `.env`, its inputs, `out`."""
    return f"/pfs/{datum_id}"


def meta_document(
    job: JobRef, datum: Datum, skip_key: str, state: DatumState, reason: str, stats: DatumStats, committed: Mapping[str, float]
) -> bytes:
    """The document, as protobuf's JSON has it: absent is zero. `committed` maps commits to when they were finished."""
    inputs = [_input(file, committed.get(file.commit)) for file in datum.inputs]
    document = {
        "job": {"pipeline": {"project": {"name": job.pipeline.project}, "name": job.pipeline.name}, "id": job.id},
        "inputs": inputs,
        "hash": skip_key,
        "state": "" if state is DatumState.PROCESSED else state.value,
        "reason": reason,
        "stats": _dense(
            {
                "downloadTime": f"{stats.download_time:.9f}s",
                "processTime": f"{stats.process_time:.9f}s",
                "uploadTime": f"{stats.upload_time:.9f}s",
                "downloadBytes": str(stats.download_bytes) if stats.download_bytes else "",
                "uploadBytes": str(stats.upload_bytes) if stats.upload_bytes else "",
            }
        ),
        "index": str(datum.index) if datum.index else "",
    }
    return json.dumps(_dense(document), separators=(",", ":")).encode()


def _input(file: InputFile, committed: float | None) -> dict[str, Any]:
    source = file.source
    repo = {"name": source.repo, "type": source.repo_type, "project": {"name": source.project}}
    commit = {"repo": repo, "id": file.commit, "branch": {"repo": repo, "name": source.branch}}
    info = {
        "file": _dense({"commit": commit, "path": file.path, "datum": file.tag}),
        "fileType": "DIR" if file.path.endswith("/") else "FILE",
        "committed": rfc3339(committed) if committed else "",
        "sizeBytes": str(file.size) if file.size else "",
        "hash": base64.b64encode(file.hash).decode(),
    }
    flags: dict[str, Any] = {"name": source.name, "joinOn": file.join_on, "groupBy": file.group_by, "branch": source.branch}
    if isinstance(source, Pfs):
        flags |= {"outerJoin": source.outer_join, "lazy": source.lazy, "emptyFiles": source.empty_files}
        flags |= {"s3": source.s3, "reference": source.reference}
    return _dense({"fileInfo": _dense(info), **flags})


def _dense(document: dict[str, Any]) -> dict[str, Any]:
    """A document without values that are zero or empty."""
    return {key: value for key, value in document.items() if value}


def parse_meta(content: bytes, listed_in: str) -> DatumInfo:
    """The datum behind a document, as a job lists it: what another job processed was skipped by this one."""
    document = json.loads(content)
    job = document["job"]["id"]
    state = DatumState(document.get("state", "PROCESSED"))
    word = {DatumState.PROCESSED: "success", DatumState.FAILED: "failed", DatumState.RECOVERED: "recovered"}[state]
    stats = document.get("stats", {})
    files = tuple(map(_parse_input, document.get("inputs", ())))
    identity = make_datum(files, int(document.get("index", 0)))
    return DatumInfo(
        identity,
        job,
        word if job == listed_in else "skipped",
        document.get("reason", ""),
        DatumStats(
            download_time=float(stats.get("downloadTime", "0s")[:-1]),
            process_time=float(stats.get("processTime", "0s")[:-1]),
            upload_time=float(stats.get("uploadTime", "0s")[:-1]),
            download_bytes=int(stats.get("downloadBytes", 0)),
            upload_bytes=int(stats.get("uploadBytes", 0)),
        ),
    )


def _parse_input(document: Mapping[str, Any]) -> InputFile:
    info = document["fileInfo"]
    commit = info["file"]["commit"]
    source: Pfs | Cron = Pfs(
        repo=commit["repo"]["name"],
        name=document["name"],
        glob="",
        project=commit["repo"]["project"]["name"],
        repo_type=commit["repo"]["type"],
        branch=document.get("branch", ""),
        outer_join=document.get("outerJoin", False),
        lazy=document.get("lazy", False),
        empty_files=document.get("emptyFiles", False),
        s3=document.get("s3", False),
        reference=document.get("reference", False),
    )
    return InputFile(
        source,
        commit["id"],
        info["file"]["path"],
        base64.b64decode(info["hash"]),
        int(info.get("sizeBytes", 0)),
        document.get("joinOn", ""),
        document.get("groupBy", ""),
        info["file"].get("datum", ""),
    )
