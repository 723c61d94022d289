"""`plan`, `why` and `status` by command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

SPEC = {
    "pipeline": {"name": "p"},
    "datum_tries": 1,
    "transform": {"image": "copy:1", "cmd": ["copy"], "env": {"SEED": "1"}},
    "input": {"pfs": {"repo": "data", "name": "in", "glob": "/*"}},
}
LAST = {"pipeline": {"name": "q"}, "transform": {"cmd": ["copy"]}, "input": {"pfs": {"repo": "p", "name": "in", "glob": "/"}}}


@pytest.fixture
def lab(pachctl):
    """Pipelines `p` and, of what it writes, `q`; they have done their work over two files."""
    Path("specs.json").write_text("\n---\n".join(map(json.dumps, (SPEC, LAST))))
    pachctl.ok("create repo data")
    for name in "ab":
        pachctl.ok(f"put file data@master:/{name}", stdin=f"{name}\n")
    pachctl.ok("create pipeline -f specs.json")
    return pachctl


@pytest.fixture
def idle(lab):
    """From now on nobody works."""
    lab.start_engine = lambda runner: None
    return lab


def test_without_a_home_nothing_would_run_and_none_is_made(pachctl):
    assert pachctl.ok("plan").out == "nothing would run\n"
    assert not Path("home").exists()


def test_a_plan_says_which_file_changed_and_how(idle):
    idle.ok("put file data@master:/b", stdin="new\n")
    lines = idle.ok("plan --diff").lines
    assert lines[:4] == ["p: runs 1 datum, reuses 1", "run 1 datum: an input file changed", "data:/b", lines[3]]
    assert lines[3].startswith("data:/b changed: 2B ")
    assert "→ 4B " in lines[3]
    assert {"-b", "+new"} <= set(lines)
    assert "reuse 1 datum: same input files as when it succeeded" in lines
    assert "q: unknown until p is finished" in lines
    assert idle.ok("plan p").lines[0].startswith("p: ")
    assert not any(line.startswith("q:") for line in idle.ok("plan p").lines)


def test_a_plan_is_data_too(idle):
    idle.ok("put file data@master:/b", stdin="new\n")
    p, q = idle.ok("plan --raw --diff").documents
    verbs = {datum["inputs"][0]["path"]: datum["verb"] for datum in p["datums"]}
    assert verbs == {"/a": "reuse", "/b": "run"}
    (change,) = (change for datum in p["datums"] for change in datum.get("changes", ()))
    assert (change["old"]["size_bytes"], change["new"]["size_bytes"]) == (2, 4)
    assert len(change["old"]["hash"]) == 64
    assert "+new" in change["diff"].splitlines()
    assert (p["complete"], q["complete"], q["waits_for"]) == (True, False, ["p"])


def test_a_plan_of_changed_specs_names_the_fields(lab):
    changed = {**SPEC, "transform": {**SPEC["transform"], "env": {"SEED": "2"}}}
    Path("p.json").write_text(json.dumps(changed))
    lines = lab.ok("plan -f p.json").lines
    assert lines[0] == "p: reuses 2 datums"
    assert 'spec: transform.env.SEED: "1" → "2"' in lines
    assert lab.ok("plan -f p.json -B").lines[0] == "p: runs 2 datums"
    assert json.loads(lab.ok("inspect pipeline p --raw").document["user_spec_json"])["transform"]["env"] == {"SEED": "1"}


def test_a_plan_of_a_project_covers_files_code_and_pipelines_that_are_not_there_yet(pachctl):
    Path("code").mkdir()
    Path("code/Dockerfile").write_text("FROM python:3\nCOPY main.py /app/\n")
    Path("code/main.py").write_text("1")
    Path("words.txt").write_text("one\ntwo\n")
    Path("p.json").write_text(json.dumps(SPEC))
    Path("local_runner.toml").write_text(
        'pipelines = ["p.json"]\n[[repo]]\nname = "data"\nsplit = "line"\nfiles = { "w" = "words.txt" }\n[images]\ncopy = "code"\n'
    )
    lines = pachctl.ok("plan").lines
    assert lines[:3] == ["data: 2 files to put", "p: runs 1 datum", "new pipeline"]
    pachctl.ok("create repo data")
    assert pachctl.ok("plan").lines[1] == "p: runs 1 datum"


def test_a_pipeline_that_is_not_there_has_no_plan(lab):
    ended = lab("plan nope")
    assert (ended.status, ended.out) == (4, "")


def test_why_leads_from_a_file_to_its_sources(lab):
    lines = lab.ok("why q@master:/a").lines
    head = lab.ok("inspect commit q@master --raw").document["commit"]["id"]
    assert lines[0] == f"q@{head}:/a 2B"
    assert lines[1].startswith("└─ datum ")
    assert lines[1].endswith(f"of q@{head}: success")
    assert any(line.startswith(("├─ data@", "└─ data@", "│ └─ data@")) or "data@" in line for line in lines)
    assert "put in data@" in lines[-1]
    document = lab.ok("why q@master:/a --raw").document
    (datum,) = document["datums"]
    assert datum["pipeline"] == "default/q"
    sources = [d["files"][0] for d in datum["files"][0]["datums"]]
    assert sorted(source["path"] for source in sources) == ["/a", "/b"]
    assert all(source["put"] for source in sources)


def test_why_forward_leads_from_a_source_to_what_was_made_of_it(lab):
    document = lab.ok("why --forward data@master:/a --raw").document
    (datum,) = document["datums"]
    (written,) = datum["files"]
    assert (written["repo"], written["path"]) == ("default/p", "/a")
    assert sorted(file["path"] for file in written["datums"][0]["files"]) == ["/a", "/b"]
    assert "datums" not in lab.ok("why --forward data@master:/a --raw --depth 1").document["datums"][0]["files"][0]
    assert any("q@" in line for line in lab.ok("why --forward data@master:/a").lines)


def test_why_shortens_what_is_long(lab):
    lab.ok("create repo many")
    Path("many").mkdir()
    for n in range(12):
        (Path("many") / f"f{n:02}").write_text(str(n))
    lab.ok("put file -r many@master:/ -f many")
    Path("m.json").write_text(
        json.dumps({**SPEC, "pipeline": {"name": "m"}, "input": {"pfs": {"repo": "many", "name": "in", "glob": "/*"}}})
    )
    lab.ok("create pipeline -f m.json")
    assert any("… and 2 more; --all shows them" in line for line in lab.ok("why m@master:/").lines)
    assert len([line for line in lab.ok("why m@master:/ --all").lines if "datum" in line]) == 12
    assert "/f00, /f01, /f02 and 9 more put in" in lab.ok("why many@master:/").out


@pytest.mark.parametrize(("line", "status"), [("why p@master:/nope", 4), ("why nope@master:/a", 4), ("why p", 2), ("why p@nope:/a", 4)])
def test_why_of_what_is_not_there(lab, line, status):
    assert lab(line).status == status


def test_status_says_what_is_behind_and_what_would_run(idle):
    assert idle.ok("status --raw").document["plan"] == []
    idle.ok("put file data@master:/b", stdin="fail\n")
    lines = idle.ok("status").lines
    assert lines[0].startswith("home: ")
    assert lines[1] == "engine: none runs"
    (p,) = (line for line in lines if line.startswith("p running"))
    assert p == "p running / success 1 commit of data@master runs 1 datum, reuses 1"
    (q,) = (line for line in lines if line.startswith("q running"))
    assert q.endswith("unknown until p is finished")
    assert any(line.startswith("p@") and " - " in line for line in lines), lines
    assert any(line.startswith("data ") and "master=" in line for line in lines)
    document = idle.ok("status --raw").document
    assert document["home"]["bytes"]["total"] > 0
    assert document["pipelines"][0]["behind"] == [{"branch": "default/data@master", "commits": 1, "open": False}]
    assert "NEXT" in idle.ok("status --no-plan").out


def test_status_names_failures_and_stopped_pipelines(lab):
    lab.ok("put file data@master:/b", stdin="fail\n")
    lab.ok("stop pipeline q")
    out = lab.ok("status").out
    assert "running / failure: datum " in out
    assert "stopped; start pipeline lets it go on" in out
    assert " failed " in out
