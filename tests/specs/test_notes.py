"""What is said about fields that do less here than on a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_runner.specs.effective import effective_spec
from local_runner.specs.notes import local_egress, notes
from local_runner.specs.parse import parse_spec

SPEC = {"pipeline": {"name": "p"}, "transform": {"cmd": ["x"]}, "input": {"pfs": {"repo": "data", "glob": "/"}}}


def parse(**fields):
    spec = {name: value for name, value in SPEC.items() if name != "input" or "spout" not in fields}
    return parse_spec(effective_spec({**spec, **fields}, {}, {}))


@pytest.mark.parametrize(
    ("fields", "begins"),
    [
        ({"egress": {"URL": "gs://bucket"}}, "egress: nothing is copied to gs://bucket;"),
        ({"egress": {"object_storage": {"url": "file://elsewhere/x"}}}, "egress: nothing is copied to file://elsewhere/x;"),
        ({"egress": {"sql_database": {"url": "x://", "secret": {"name": "a", "key": "b"}}}}, "egress: nothing is copied to x://;"),
        ({"egress": {}}, "egress: nothing is copied to nowhere;"),
        ({"service": {"internal_port": 80, "external_port": 30080}}, "service: nothing is forwarded from external_port 30080"),
        ({"resource_limits": {"memory": "2GB"}}, "resource_limits.memory: '2GB' is not a quantity: it is ignored, as on a cluster; write"),
        ({"sidecar_resource_requests": {"disk": "1 Gi"}}, "sidecar_resource_requests.disk: '1 Gi' is not a quantity"),
        ({"spout": {}, "transform": {"cmd": ["sh"], "stdin": ["tar c x > /pfs/out"]}}, "spout: what it writes to /pfs/out is not kept"),
        ({"transform": {"cmd": ["echo", "1", ">", "/pfs/out/x"]}}, "transform.cmd: no shell reads transform.cmd, so > is an argument"),
        ({"spout": {"service": {"external_port": 30080}}}, "service: nothing is forwarded from external_port 30080"),
    ],
)
def test_what_is_taken_but_does_less_here_is_said(fields, begins):
    (said,) = notes(parse(**fields))
    assert said.startswith(begins)


def test_what_only_shapes_pods_is_passed_over():
    assert notes(parse(resource_limits={"memory": "1G"}, autoscaling=True, tolerations=[{"operator": "EXISTS"}])) == []
    assert notes(parse(egress={"URL": "file:///tmp/x"}, service={"internal_port": 80})) == []


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("/tmp/x", "/tmp/x"),
        ("out/x", "/base/out/x"),
        ("file:///tmp/x%20y", "/tmp/x y"),
        ("file://localhost/tmp/x", "/tmp/x"),
        ("file://other/tmp/x", None),
        ("file://localhost", None),
        ("s3://bucket/x", None),
        ("", None),
    ],
)
def test_a_folder_of_this_machine_is_a_path_or_a_file_url(url, folder):
    assert local_egress(parse(egress={"URL": url}), Path("/base")) == (Path(folder) if folder else None)
