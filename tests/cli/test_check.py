"""`check`: everything that is wrong, what becomes of each field, the datums, the warnings; and nothing is created."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from local_runner.executors.process import ProcessExecutor
from tests.cli.conftest import work_here


def spec(name="edges", glob="/*", repo="data", cmd=("true",), **fields):
    return {"pipeline": {"name": name}, "transform": {"cmd": list(cmd)}, "input": {"pfs": {"repo": repo, "glob": glob}}, **fields}


def cross(*inputs):
    return {"input": {"cross": [{"pfs": pfs} for pfs in inputs]}}


@pytest.fixture
def write(tmp_path):
    def write(*specs, name="specs.json"):
        (tmp_path / name).write_text("\n".join(json.dumps(one) for one in specs) if len(specs) == 1 else json.dumps(specs))
        return name

    return write


@pytest.fixture
def data(pachctl):
    def put(repo="data", **files):
        pachctl.ok(f"create repo {repo}")
        for name, text in files.items():
            pachctl.ok(f"put file {repo}@master:/{name.replace('_', '.')} -f -", stdin=text)

    return put


def warnings(ended):
    return [line.strip().removeprefix("warning: ") for line in ended.out.splitlines() if line.startswith("  warning:")]


def test_every_error_of_every_spec_of_every_file_is_said_with_its_place_and_what_would_be_right(pachctl, tmp_path):
    (tmp_path / "a.yaml").write_text(
        "pipeline: {name: edges}\n"
        "transform: {cmdd: [sh], image: 3}\n"
        "---\n"
        "pipeline: {name: one}\n"
        "x: *anchor\n"
        "---\n"
        "pipeline: {name: p}\n"
        "output_branch: a b\n"
        "transform: {cmd: [sh]}\n"
        "input:\n"
        "  cross:\n"
        "  - pfs: {repo: data}\n"
        '  - pfs: {repo: images, glob: "/[a"}\n'
    )
    (tmp_path / "b.yaml").write_text("pipeline: {name: fine}\ninput: {pfs: {repo: d, glob: '/[a'}}\n---\n{")
    ended = pachctl("check a.yaml b.yaml c.yaml")
    assert ended.status == 2
    errors = [line for line in ended.out.splitlines() if "error:" in line]
    places = ["a.yaml:2:13:", "a.yaml:2:25:", "a.yaml:5:4:", "a.yaml:8:1:", "a.yaml:12:5:", "a.yaml:13:25:", "b.yaml:2:24:", "b.yaml:4:2:"]
    assert [line.partition("error:")[0].strip() for line in errors] == [*places, ""]
    assert 'transform.cmdd: unknown field "cmdd"; did you mean "cmd"?' in errors[0]
    assert "transform.image: invalid value for string type: 3; put it in quotes" in errors[1]
    assert "write out what the alias stands for" in errors[2]
    assert "output_branch: could not create/update output branch" in errors[3]
    assert 'input.cross[0].pfs.glob: input must specify a glob; "/" is one datum' in errors[4]
    assert all('pfs.glob: invalid glob "/[a": unexpected end of input; close the class with ]' in error for error in errors[5:7])
    assert "c.yaml" in errors[-1]
    assert ended.err.splitlines()[-1] == f"{len(errors)} errors in 6 of 6 specs"


def test_each_field_is_listed_with_what_becomes_of_it_and_the_versions_that_know_it(pachctl, write):
    name = write(spec(datum_set_spec={"number": 2}, pod_patch="[]", enable_stats=True))
    ended = pachctl(f"check {name}")
    assert ended.status == 2  # enable_stats
    assert {
        "datum_set_spec.number honoured 2.0 – 2.12 datums in a set",
        "pod_patch ignored 1.13 – 2.12 there are no pods; it must be JSON",
        "enable_stats removed – 1.13 leave it out, statistics are always kept, see `list datum`",
        "input.pfs.glob honoured 1.13 – 2.12 each match is a datum",
    } <= set(ended.lines)


@pytest.mark.parametrize(
    ("field", "version"), [({"datum_set_spec": {}}, "2.0"), ({"maximum_expected_uptime": "1s", "tolerations": []}, "2.9")]
)
def test_the_oldest_version_that_takes_the_spec_is_named(pachctl, write, field, version):
    assert f"a cluster needs Pachyderm {version} or newer for it" in pachctl.ok(f"check {write(spec(**field))}").lines
    assert "a cluster needs" not in pachctl.ok(f"check {write(spec())}").out


def test_nothing_is_created_not_even_a_home(pachctl, write, data, tmp_path):
    ended = pachctl.ok(f"check {write(spec())}")
    assert ended.err == "there is no home here, so datums are not listed\n"
    assert not (tmp_path / "home").exists()
    data(a="1")
    before = pachctl.ok("list repo --raw").out
    pachctl.ok(f"check {write(spec())}")
    assert pachctl.ok("list repo --raw").out == before
    assert pachctl.ok("list pipeline").lines[1:] == []


def test_the_datums_of_the_present_heads_are_listed(pachctl, write, data):
    data(a="1", b="2")
    lines = pachctl.ok(f"check {write(spec())}").lines
    assert lines[lines.index("2 datums") + 1 :] == ["data:/a", "data:/b"]


def test_of_many_datums_the_first_are_listed_and_all_if_asked(pachctl, write, data):
    data(**{f"f{number}": "x" for number in range(12)})
    few, many = pachctl.ok(f"check {write(spec())}"), pachctl.ok(f"check {write(spec())} -a")
    assert few.lines[-1] == "… and 2 more; -a lists all"
    assert sum(line.startswith("data:") for line in few.lines) == 10
    assert sum(line.startswith("data:") for line in many.lines) == 12


def test_raw_is_a_document_for_each_spec(pachctl, write, data):
    data(a="1")
    one, two = pachctl.ok(f"check {write(spec(), spec('montage', glob='/'))} --raw").documents
    assert (one["pipeline"], two["pipeline"]) == ("edges", "montage")
    assert (one["errors"], one["warnings"]) == ([], [])
    assert one["fields"][0] == {"field": "pipeline.name", "here": "honoured", "since": "1.13", "until": "2.12"} | {
        "why": one["fields"][0]["why"]
    }
    assert [datum["data"][0]["file"]["path"] for datum in one["datums"]] == ["/a"]


def test_a_glob_that_matches_nothing_is_warned_of(pachctl, write, data):
    data(a="1")
    assert warnings(pachctl.ok(f"check {write(spec(glob='/*.png'))}")) == ["input data: /*.png matches nothing in default/data@master"]


def test_inputs_that_match_but_do_not_meet_are_warned_of(pachctl, write, data):
    data(a="1")
    data("other", b="1")
    both = [{"pfs": {"repo": repo, "glob": "/(*)", "join_on": "$1"}} for repo in ("data", "other")]
    ended = pachctl.ok(f"check {write(spec() | {'input': {'join': both}})}")
    assert warnings(ended) == ["each input matches files, but together they make no datum"]


def test_a_repo_that_is_not_there_is_warned_of_unless_another_spec_makes_it(pachctl, write, data):
    data(a="1")
    ended = pachctl.ok(f"check {write(spec('montage', repo='edges'), spec(), spec('third', repo='nope'))}")
    assert warnings(ended) == ["input nope: repo default/nope not found"]
    assert "its datums are known when edges has run" in ended.lines


def test_a_repo_in_the_way_of_the_output_is_warned_of(pachctl, write, data):
    data(a="1")
    data("edges", a="1")
    assert "no pipeline made" in warnings(pachctl.ok(f"check {write(spec())}"))[0]
    pachctl.ok("delete repo edges")
    pachctl.ok(f"create pipeline -f {write(spec())}")
    assert warnings(pachctl.ok(f"check {write(spec())}")) == []


def test_an_output_that_several_datums_certainly_write_is_warned_of_and_the_job_does_fail(pachctl, write, data):
    data(a="1", b="2")
    constant = write(spec(cmd=("cp", "/etc/hostname", "/pfs/out/name")))
    assert warnings(pachctl.ok(f"check {constant}")) == ["all 2 datums would write /name, so the job fails"]
    assert warnings(pachctl.ok(f"check {write(spec(glob='/', cmd=('cp', '/etc/hostname', '/pfs/out/name')))}")) == []


def test_datums_that_were_in_each_others_way_would_be_again(pachctl, write, data):
    data("one", same="1")
    data("two", same="2")
    union = {"input": {"union": [{"pfs": {"repo": repo, "name": "in", "glob": "/*"}} for repo in ("one", "two")]}}
    pachctl.ok(f"create pipeline -f {write(spec() | union)}")
    (warning,) = warnings(pachctl.ok(f"check {write(spec() | union)}"))
    assert warning.startswith("the last job failed, and the next would too: ")
    assert "/same" in warning
    assert warnings(pachctl.ok(f"check {write(spec(cmd=('false',)) | union)}")) == []


def test_fields_that_do_less_here_are_warned_of(pachctl, write, data):
    data(a="1")
    ended = pachctl.ok(f"check {write(spec(egress={'URL': 's3://bucket/x'}, transform={'cmd': ['sh'], 'image': 'python'}))}")
    image, egress = warnings(ended)
    assert image.startswith("please specify a tag")
    assert egress.startswith("egress: nothing is copied to s3://bucket/x")


# -- test data that flows into training --------------------------------------------------------------------------------


def score(**inputs):
    return spec("score", **cross({"repo": "data", "glob": "/test*"}, {"repo": "model", "glob": "/"}))


def test_test_data_that_a_model_was_trained_on_is_warned_of(pachctl, write, data):
    data(train_csv="1\n", test_csv="2\n")
    (warning,) = warnings(pachctl.ok(f"check {write(spec('model', glob='/'), score())}"))
    assert warning.startswith("test data flows into training: default/data@master:/test.csv is read here and by model")


def test_test_data_that_was_kept_apart_is_none_of_it(pachctl, write, data):
    data(train_csv="1\n", test_csv="2\n")
    assert warnings(pachctl.ok(f"check {write(spec('model', glob='/train*'), score())}")) == []


def test_a_copy_of_test_data_under_another_name_is_found_over_several_steps(pachctl, write, data):
    data(train_csv="2\n", test_csv="2\n")
    steps = [spec("clean", glob="/train*"), spec("model", repo="clean")]
    (warning,) = warnings(pachctl.ok(f"check {write(*steps, score())}"))
    assert "read here and by clean (as default/data@master:/train.csv)" in warning


def test_who_made_the_test_data_may_have_read_it(pachctl, write, data):
    """As `split` does in the search: what it cuts off for testing it has seen."""
    data("raw", test_csv="2\n", train_csv="1\n")
    pachctl.ok(f"create pipeline -f {write(spec('data') | {'input': {'pfs': {'repo': 'raw', 'name': 'in', 'glob': '/'}}})}")
    assert warnings(pachctl.ok(f"check {write(spec('model', glob='/train*'), score())}")) == []


def test_the_search_of_this_project_keeps_its_test_data_apart(pachctl):
    folder = Path(__file__).parents[2] / "pipelines"
    ended = pachctl.ok("check", *map(str, sorted(folder.glob("*.json"))))
    assert warnings(ended) == []


def test_a_template_is_rendered_with_its_arguments(pachctl, tmp_path):
    pytest.importorskip("_jsonnet")
    (tmp_path / "edges.jsonnet").write_text('function(n) { pipeline: { name: n }, transform: { cmd: ["sh"] } }')
    assert pachctl.ok("check edges.jsonnet --arg n=edges").lines[0].endswith(": edges")


def test_an_input_that_no_datum_looked_into_is_warned_of(pachctl, write, data):
    pachctl.start_engine = work_here(ProcessExecutor())
    data("read", a="1", b="2")
    data("unread", c="3")
    fields = cross({"repo": "read", "glob": "/*"}, {"repo": "unread", "glob": "/"})
    used = write(spec(cmd=("sh", "-c", "cat /pfs/read/a > /pfs/out/$PACH_DATUM_ID || true"), **fields))
    assert warnings(pachctl.ok(f"check {used}")) == []
    pachctl.ok(f"create pipeline -f {used}")
    assert warnings(pachctl.ok(f"check {used}")) == ["input unread: no datum of the last job looked into it"]
    assert warnings(pachctl.ok(f"check {write(spec(cmd=('ls', '/pfs/unread'), **fields))}")) == []
