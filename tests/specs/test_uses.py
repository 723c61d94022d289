"""What a spec uses, and what it certainly writes."""

from __future__ import annotations

import pytest

from local_runner.model.pipelines import Transform
from local_runner.specs.fields import EMULATED, HONOURED, IGNORED, rows
from local_runner.specs.uses import GONE, constant_outputs, uses


def test_each_field_is_named_once_however_often_it_is_written_and_however_it_is_spelled():
    spec = {
        "pipeline": {"name": "p"},
        "datumTries": 1,
        "input": {"cross": [{"pfs": {"repo": "a"}}, {"pfs": {"repo": "b", "joinOn": "$1"}}]},
    }
    assert [use.path for use in uses(spec)] == ["pipeline.name", "datum_tries", "input.cross.pfs.repo", "input.cross.pfs.join_on"]


def test_a_use_says_what_becomes_of_the_field_and_which_versions_know_it():
    found = {use.path: use for use in uses({"tolerations": [{"key": "x"}], "transform": {"datum_batching": True}})}
    assert (found["tolerations.key"].treatment, found["tolerations.key"].versions) == (IGNORED, "2.5 – 2.12")
    assert (found["transform.datum_batching"].treatment, found["transform.datum_batching"].versions) == (HONOURED, "2.5 – 2.12")


def test_a_field_that_pachyderm_dropped_is_named_with_what_to_do():
    (use,) = uses({"chunkSpec": {"number": 3}})
    assert (use.path, use.treatment, use.versions, use.why) == ("chunk_spec", GONE, "– 1.13", "use datum_set_spec")


@pytest.mark.parametrize("spec", [3, [], {"nope": 1}, {"pipeline": "edges"}, {"tolerations": {}}, {"input": {"cross": 3}}])
def test_a_spec_with_faults_is_read_as_far_as_it_goes(spec):
    assert all(use.path in ("pipeline", "tolerations", "input.cross") for use in uses(spec))


def shell(*stdin, cmd=("sh",)):
    return Transform(cmd=cmd, stdin=stdin)


@pytest.mark.parametrize(
    ("transform", "written"),
    [
        (Transform(cmd=("cp", "/pfs/in/a", "/pfs/out/b")), ["/b"]),
        (Transform(cmd=("/usr/bin/touch", "/pfs/out/a/b", "/pfs/out/c")), ["/a/b", "/c"]),
        (shell("echo hello > /pfs/out/a"), ["/a"]),
        (shell("# a comment", "echo hello >>/pfs/out/a", ""), ["/a"]),
        (shell(cmd=("bash", "-c", "mkdir /pfs/out/a\ncp /pfs/in/x /pfs/out/a/b")), ["/a/b"]),
    ],
)
def test_a_name_that_cannot_vary_is_certain(transform, written):
    assert constant_outputs(transform) == written


@pytest.mark.parametrize(
    "transform",
    [
        Transform(),
        Transform(cmd=("cp", "/pfs/in/a", "/pfs/out/")),
        Transform(cmd=("cp", "/pfs/in/a", "/pfs/out")),
        Transform(cmd=("cp", "-r", "/pfs/in/a", "/pfs/out/b")),  # of a folder, whose files may differ
        Transform(cmd=("mv", "/pfs/in/a", "/pfs/out/b")),
        Transform(cmd=("cp", "/pfs/in/a", "/pfs/in/b", "/pfs/out/c")),
        Transform(cmd=("cp", "/pfs/in/a", "/pfs/out/../b")),
        Transform(cmd=("python3", "main.py", "/pfs/out/b")),
        Transform(cmd=("cp", "/pfs/in/a", "/pfs/out/b"), err_cmd=("true",)),
        Transform(cmd=("cp", "/pfs/in/a", "/pfs/out/b"), accept_return_code=frozenset({1})),
        shell("echo hello > /pfs/out/$name"),
        shell("test -e /pfs/in/a && echo hello > /pfs/out/a"),
        shell("if test -e /pfs/in/a; then", "echo hello > /pfs/out/a", "fi"),
        shell("cat", "echo hello > /pfs/out/a"),  # cat reads the rest of the script
        shell("echo '>' /pfs/out/a"),
        shell('echo "a > /pfs/out/a"'),
        shell(cmd=("sh", "-c", "echo hello > /pfs/out/a\necho done")),  # the first may fail
        shell(cmd=("sh", "-c", "exit 0\necho hello > /pfs/out/a")),
        shell(cmd=("sh", "-ec", "echo hello > /pfs/out/a")),
    ],
    ids=str,
)
def test_a_name_that_may_vary_or_not_be_written_is_not_certain(transform):
    assert constant_outputs(transform) == []


def test_what_is_inside_a_field_without_effect_has_none_either():
    found = {use.path: use.treatment for use in uses({"resource_limits": {"memory": "1G"}, "sidecar_resource_limits": {"memory": "1G"}})}
    assert found == {"resource_limits.memory": EMULATED, "sidecar_resource_limits.memory": IGNORED}
    assert found.items() <= {path: field.treatment for path, field in rows()}.items()
