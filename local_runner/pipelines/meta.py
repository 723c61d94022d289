"""Converts datums to the documents of a meta repo, `/meta/<datum id>/meta`, and back (reference pps 3.8)."""

from __future__ import annotations

import base64
import functools
import json
from binascii import b2a_base64
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii as _text
from typing import Any

from local_runner.model.datums import Datum, DatumInfo, DatumState, DatumStats, InputFile, make_datum
from local_runner.model.inputs import Cron, Pfs
from local_runner.model.refs import JobRef
from local_runner.model.units import rfc3339

DOT_ENV = "/.env"  # below the folder of a datum: the variables it was given


def meta_path(datum_id: str) -> str:
    """The path of a datum's document."""
    return f"/meta/{datum_id}/meta"


def files_path(datum_id: str) -> str:
    """The folder with what a datum saw and wrote: `.env`, its inputs, `out`."""
    return f"/pfs/{datum_id}"


def meta_document(
    job: JobRef, datum: Datum, skip_key: str, state: DatumState, reason: str, stats: DatumStats, committed: Mapping[str, float]
) -> bytes:
    """The document, as protobuf's JSON has it: absent is zero. `committed` maps commits to when they were finished.

    Put together from text: by way of a dictionary it takes 28 µs instead of 6, and a job may have a hundred thousand.
    """
    project, pipeline = _text(job.pipeline.project), _text(job.pipeline.name)
    inputs = ",".join([_input(file, committed.get(file.commit) or 0.0) for file in datum.inputs])
    figures = (
        f'"downloadTime":"{stats.download_time:.9f}s","processTime":"{stats.process_time:.9f}s","uploadTime":"{stats.upload_time:.9f}s"',
        _number("downloadBytes", stats.download_bytes),
        _number("uploadBytes", stats.upload_bytes),
    )
    document = (
        f'{{"job":{{"pipeline":{{"project":{{"name":{project}}},"name":{pipeline}}},"id":"{job.id}"}}',
        f'"inputs":[{inputs}]' if inputs else "",
        f'"hash":"{skip_key}"',
        f'"state":"{state.value}"' if state is not DatumState.PROCESSED else "",
        _said("reason", reason),
        f'"stats":{{{",".join(filter(None, figures))}}}',
        _number("index", datum.index),
    )
    return (",".join(filter(None, document)) + "}").encode()


def _input(file: InputFile, committed: float) -> str:
    commit, flags = _of_source(file.source, file.commit)
    tag = f',"datum":{_text(file.tag)}' if file.tag else ""
    info = (
        f'{{"fileInfo":{{"file":{{"commit":{commit},"path":{_text(file.path)}{tag}}}',
        f'"fileType":"{"DIR" if file.path.endswith("/") else "FILE"}"',
        f'"committed":"{_time(committed)}"' if committed else "",
        _number("sizeBytes", file.size),
        f'"hash":"{b2a_base64(file.hash, newline=False).decode()}"}}',
        f'"name":{_text(file.source.name)}',
        _said("joinOn", file.join_on),
        _said("groupBy", file.group_by),
        flags,
    )
    return ",".join(filter(None, info)) + "}"


# What all datums of a job share, a few values at a time.
@functools.lru_cache(maxsize=256)
def _of_source(source: Pfs | Cron, commit_id: str) -> tuple[str, str]:
    """The commit of an input as JSON, and the fields that say how it is read, without braces."""
    repo = {"name": source.repo, "type": source.repo_type, "project": {"name": source.project}}
    commit = {"repo": repo, "id": commit_id, "branch": {"repo": repo, "name": source.branch}}
    flags: dict[str, Any] = {"branch": source.branch}
    if isinstance(source, Pfs):
        flags |= {"outerJoin": source.outer_join, "lazy": source.lazy, "emptyFiles": source.empty_files}
        flags |= {"s3": source.s3, "reference": source.reference}
    said = {key: value for key, value in flags.items() if value}
    return json.dumps(commit, separators=(",", ":")), json.dumps(said, separators=(",", ":"))[1:-1]


_time = functools.lru_cache(maxsize=256)(rfc3339)


def _said(name: str, text: str) -> str:
    return f'"{name}":{_text(text)}' if text else ""


def _number(name: str, number: int) -> str:
    return f'"{name}":"{number}"' if number else ""


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
