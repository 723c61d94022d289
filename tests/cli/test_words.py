"""A refusal names what was wrong and what to write, and never advises to destroy."""

from __future__ import annotations

import json

import pytest


def spec(name: str, repo: str) -> str:
    fields = {"pipeline": {"name": name}, "transform": {"cmd": ["copy"]}, "input": {"pfs": {"repo": repo, "name": "in", "glob": "/"}}}
    return json.dumps(fields)


@pytest.mark.parametrize("line", ["delete repo data", "delete branch data@master", "delete pipeline p"])
def test_what_others_need_is_not_said_to_be_deleted_by_force(pachctl, line):
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/a", stdin="1")
    pachctl.ok("create pipeline", stdin=spec("p", "data"))
    pachctl.ok("create pipeline", stdin=spec("q", "p"))
    ended = pachctl(line)
    assert ended.status == 1
    assert "would lose what they need: update or delete them first" in ended.err
    assert "--force" not in ended.err
    stopped = "p is stopped now, `start pipeline p` lets it go on"
    assert (stopped in ended.err) is (line == "delete pipeline p")
