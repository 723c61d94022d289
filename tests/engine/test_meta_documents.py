"""The document of a datum is what protobuf's JSON of it would be, and says all that is listed of the datum."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from local_runner.model.datums import Datum, DatumState, DatumStats, InputFile, make_datum
from local_runner.model.inputs import Pfs
from local_runner.model.refs import JobRef, PipelineRef
from local_runner.pipelines.meta import meta_document, parse_meta

TEXT = st.text(max_size=5)
NAMES = st.text(min_size=1, max_size=5)
FLAGS = ("outer_join", "lazy", "empty_files", "s3", "reference")
SOURCES = st.builds(
    Pfs, repo=NAMES, name=NAMES, glob=st.just(""), project=NAMES, repo_type=NAMES, branch=TEXT, **{flag: st.booleans() for flag in FLAGS}
)
FILES = st.builds(
    InputFile,
    SOURCES,
    st.sampled_from(["c0", "c1"]),
    TEXT.map("/{}".format),
    st.binary(min_size=32, max_size=32),
    st.integers(0, 9),
    TEXT,
    TEXT,
    TEXT,
)
DATUMS = st.builds(make_datum, st.lists(FILES, max_size=3), st.integers(0, 3))
TIMES, SIZES = st.sampled_from([0.0, 0.25, 12.5]), st.integers(0, 3)
STATS = st.builds(DatumStats, TIMES, TIMES, TIMES, SIZES, SIZES)
JOB = JobRef(PipelineRef('pro"ject', "pipe\\line"), "ab12")


def dense(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if value}


def written_of(file: InputFile) -> dict[str, Any]:
    source = file.source
    assert isinstance(source, Pfs)
    repo = {"name": source.repo, "type": source.repo_type, "project": {"name": source.project}}
    info = {
        "file": dense({"commit": {"repo": repo, "id": file.commit, "branch": {"repo": repo, "name": source.branch}}, "path": file.path})
        | dense({"datum": file.tag}),
        "fileType": "DIR" if file.path.endswith("/") else "FILE",
        "committed": "1970-01-01T00:00:01.500Z" if file.commit == "c1" else "",
        "sizeBytes": str(file.size or ""),
        "hash": base64.b64encode(file.hash).decode(),
    }
    told = {"name": source.name, "joinOn": file.join_on, "groupBy": file.group_by, "branch": source.branch, "outerJoin": source.outer_join}
    told |= {"lazy": source.lazy, "emptyFiles": source.empty_files, "s3": source.s3, "reference": source.reference}
    return {"fileInfo": dense(info)} | dense(told)


@given(DATUMS, st.sampled_from(DatumState), TEXT, STATS)
def test_a_document_has_each_field_that_is_not_zero_in_the_order_of_protobuf(
    datum: Datum, state: DatumState, reason: str, stats: DatumStats
) -> None:
    document = meta_document(JOB, datum, "ff", state, reason, stats, {"c1": 1.5})
    times = {"downloadTime": stats.download_time, "processTime": stats.process_time, "uploadTime": stats.upload_time}
    expected = {
        "job": {"pipeline": {"project": {"name": 'pro"ject'}, "name": "pipe\\line"}, "id": "ab12"},
        "inputs": [written_of(file) for file in datum.inputs],
        "hash": "ff",
        "state": "" if state is DatumState.PROCESSED else state.value,
        "reason": reason,
        "stats": {name: f"{time:.9f}s" for name, time in times.items()}
        | dense({"downloadBytes": str(stats.download_bytes or ""), "uploadBytes": str(stats.upload_bytes or "")}),
        "index": str(datum.index or ""),
    }
    assert document == json.dumps(dense(expected), separators=(",", ":")).encode()
    assert parse_meta(document, "").datum == datum
