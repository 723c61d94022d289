"""Specs that are given, edited, checked and completed by defaults."""

from __future__ import annotations

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.cli.pipelines.conftest import SPEC


def test_the_specs_of_pipelines_can_be_given_to_create_again(lab):
    lab.ok("create pipeline -f p.json")
    spec = lab.ok("list pipeline --spec").out
    lab.ok("delete pipeline p")
    lab.ok("create pipeline", stdin=spec)
    assert lab.ok("list pipeline --spec").document == json.loads(spec)


def test_specs_are_made_one_after_the_other_until_one_is_wrong(lab):
    texts = [json.dumps({**SPEC, "pipeline": {"name": name}}) for name in ("one", "two")]
    broken = json.dumps({**SPEC, "pipeline": {"name": "three"}, "nope": 1})
    ended = lab("create pipeline", stdin="\n---\n".join([texts[0], broken, texts[1]]))
    assert ended.status == 2
    assert "standard input:3" in ended.err
    assert [d["pipeline"]["name"] for d in lab.ok("list pipeline --raw").documents] == ["one"]


def test_what_only_the_store_finds_wrong_in_a_spec_is_placed_too(lab):
    bad = {**SPEC, "input": {"pfs": {"repo": "data", "name": "in", "glob": "/*", "lazy": True, "s3": True}}}
    ended = lab("create pipeline", stdin=json.dumps(bad, indent=1))
    assert ended.status == 2
    assert ended.err.startswith("standard input:")


def test_a_dry_run_prints_the_effective_spec_and_makes_nothing(lab):
    found = lab.ok("create pipeline -f p.json --dry-run --raw").document
    assert (found["outputBranch"], found["transform"]["cmd"]) == ("master", ["copy"])
    assert lab.ok("list pipeline --raw").documents == []


def test_a_dry_run_shows_numbers_as_protobuf_does_with_sorted_keys(lab):
    spec = {**SPEC, "datum_tries": 4, "autoscaling": False}
    found = lab.ok("update pipeline --dry-run --raw", stdin=json.dumps(spec)).document
    assert found["datumTries"] == "4"
    assert "autoscaling" not in found
    assert list(found) == sorted(found)


def test_what_an_image_would_install_and_is_missing_here_is_named(lab, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN pip install no-such-package==1\n")
    (tmp_path / "local_runner.toml").write_text('[images]\nmine = "."\n')
    spec = {**SPEC, "transform": {"image": "mine:1", "cmd": ["copy"]}}
    said = f"image mine:1: {tmp_path}/Dockerfile installs no-such-package==1 (not installed); pip install it here\n"
    assert lab.ok("create pipeline", stdin=json.dumps(spec)).err == said
    (tmp_path / "local_runner.toml").write_text("[images")
    assert "local_runner.toml" in lab.ok("update pipeline", stdin=json.dumps(spec)).err


@pytest.fixture
def site(monkeypatch):
    """The address of a server over the present folder."""
    monkeypatch.setenv("no_proxy", "*")
    handler = partial(SimpleHTTPRequestHandler, directory=str(Path.cwd()))
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_specs_and_templates_and_what_they_import_may_lie_at_a_url(lab, site):
    pytest.importorskip("_jsonnet")
    lab.ok(f"create pipeline -f {site}/p.json")
    Path("named.jsonnet").write_text(f"function(name) (import '{site}/p.json') + {{pipeline: {{name: name}}}}")
    lab.ok(f"create pipeline --jsonnet {site}/named.jsonnet --arg name=q")
    assert [d["pipeline"]["name"] for d in lab.ok("list pipeline --raw").documents] == ["q", "p"]
    gone = lab(f"create pipeline -f {site}/gone.json")
    assert (gone.status, gone.err.splitlines()[0].partition(": ")[0]) == (5, f"error retrieving content from {site}/gone.json")


def test_an_edited_spec_is_commented_like_a_new_one(lab):
    lab.ok("create pipeline -f p.json")
    Path("edit.sh").write_text("""sed -i 's/"copies"/"copies", "egress": {"URL": "s3:\\/\\/bucket"}/' "$1"\n""")
    assert "egress: nothing is copied to s3://bucket" in lab.ok("edit pipeline p --editor 'sh edit.sh'").err


def test_an_image_without_a_tag_gets_a_warning(lab):
    spec = {**SPEC, "transform": {"image": "copy", "cmd": ["copy"]}}
    assert "WARNING: please specify a tag" in lab.ok("create pipeline", stdin=json.dumps(spec)).err


def test_fields_that_are_taken_but_do_less_here_are_mentioned(lab):
    spec = {**SPEC, "egress": {"URL": "s3://bucket/x"}}
    said = lab.ok("create pipeline", stdin=json.dumps(spec)).err
    assert "egress: nothing is copied to s3://bucket/x" in said
    assert "egress" not in lab.ok("update pipeline -f p.json").err


def test_a_spec_is_edited_in_an_editor(lab):
    lab.ok("create pipeline -f p.json")
    Path("edit.sh").write_text('sed -i s/copies/edited/ "$1"\n')
    lab.ok("edit pipeline p --editor 'sh edit.sh'")
    assert lab.ok("inspect pipeline p --raw").document["details"]["description"] == "edited"
    assert lab.ok("edit pipeline p --editor true").out == "Pipeline unchanged, no update will be performed.\n"
    Path("rename.sh").write_text('sed -i "s/: p$/: q/" "$1"\n')
    renamed = lab("edit pipeline p -o yaml --editor 'sh rename.sh'")
    assert (renamed.status, renamed.err.splitlines()[0]) == (2, "may not change pipeline name")
    assert lab("edit pipeline p --editor false").status == 5


def test_defaults_are_set_and_taken_back(lab):
    assert "resourceRequests" in lab.ok("inspect defaults --cluster").document["createPipelineRequest"]
    lab.ok("create pipeline", stdin=json.dumps({name: value for name, value in SPEC.items() if name != "datum_tries"}))
    changed = lab.ok("create defaults --cluster --regenerate", stdin='{"create_pipeline_request": {"datum_tries": 7}}')
    assert (changed.out, changed.err) == ("affected pipelines:\n\t default/p\n", "")
    assert lab.ok("inspect pipeline p --raw").document["details"]["datum_tries"] == "7"
    lab.ok("delete defaults --cluster")
    assert lab.ok("inspect defaults --cluster").out == "{}\n"
    assert lab("create defaults --cluster", stdin='{"create_pipeline_request": {"nope": 7}}').status == 2


def test_a_dry_run_tells_in_words_what_would_count(lab):
    told = lab.ok("create pipeline -f p.json --dry-run").lines
    labels = [line.partition(":")[0] for line in told if line[:1].isupper()]
    order = ["Parallelism Spec", "ResourceRequests", "CPU", "Memory", "Datum Timeout", "Job Timeout", "Input", "Output Branch", "Transform"]
    assert labels[-len(order) :] == order
    assert {"Name: p", "Parallelism Spec: <nil>", "Memory: 256Mi", "Output Branch: master"} <= {*told}
    assert '"glob": "/*"' in told or '"glob": "/*",' in told
    assert lab.ok("list pipeline --raw").documents == []


def test_a_spec_is_checked_without_a_pipeline_being_made(pachctl, tmp_path):
    (tmp_path / "good.json").write_text('{"pipeline": {"name": "p"}, "input": {"pfs": {"repo": "none", "glob": "/"}}}')
    assert pachctl.ok("validate pipeline -f good.json").out == ""
    (tmp_path / "bad.json").write_text('{"pipeline": {"name": "p"}, "imput": {}}')
    assert 'did you mean "input"' in pachctl("validate pipeline -f bad.json").err
    assert pachctl.ok("list pipeline").lines[1:] == []
