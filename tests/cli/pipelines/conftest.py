"""A repo, the spec of a pipeline that copies it, and a job of that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import copying

SPEC = copying(description="copies", datum_tries=1)


@pytest.fixture
def lab(pachctl):
    """A repo `data` with a file `a`, and the spec of a pipeline `p` that copies it in p.json."""
    Path("p.json").write_text(json.dumps(SPEC))
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/a", stdin="good\n")
    return pachctl


@pytest.fixture
def job(lab):
    """`p@id` of the job that ran over a good and a bad file, after one over the good one alone."""
    lab.ok("create pipeline -f p.json")
    lab.ok("put file data@master:/b", stdin="fail\n")
    return f"p@{lab.ok('inspect commit p@master --raw').document['commit']['id']}"
