"""`datum export` and `datum test`: folders that work without this runner, and tests that tell when the code does something else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_datum_shell_run import COPY, edges, job, spec

__all__ = ["edges"]

PROJECT = '[images]\nmine = "code"\n'
DOCKERFILE = "FROM python\nWORKDIR /work/here\nENV GREETING='hello you'\nCOPY main.sh lib /opt-of-mine/\nCOPY main.sh main.sh\n"
MAIN = 'cat "$in"; cd "$2"; (echo "$GREETING, $1"; cat "$OLDPWD/part") > greeting; echo "$OLDPWD" > pwd\n'


def sh(folder, **env):
    """Run it with nothing of this process's environment, from somewhere else."""
    given = {"PATH": os.environ["PATH"], **env}
    return subprocess.run(
        ["sh", Path(folder).absolute() / "run.sh"], env=given, capture_output=True, text=True, check=False, cwd="/", timeout=60
    )


def outputs(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in Path(folder).rglob("*") if path.is_file()}


def moved(tmp_path, folder, name="a b's"):
    """It must not matter where it is, nor that its home is gone."""
    place = tmp_path / "elsewhere" / name
    place.parent.mkdir(exist_ok=True)
    shutil.move(tmp_path / folder, place)
    shutil.rmtree(tmp_path / "home")
    return place


@pytest.fixture
def without_namespaces(tmp_path):
    """A PATH on which `unshare` fails, as in many containers."""
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake/unshare").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "fake/unshare").chmod(0o755)
    return f"{tmp_path}/fake:{os.environ['PATH']}"


def test_an_exported_datum_runs_by_itself(edges, tmp_path):
    ended = edges.ok(f"datum export edges@{job(edges)} /good out")
    assert "sh out/run.sh runs it" in ended.err
    folder = moved(tmp_path, "out")
    done = sh(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("read ")
    assert outputs(folder / "pfs/out") == {"good": "1\n"}
    assert "edges: in:/good" in (folder / "README").read_text()
    variables = dict(line.split("=", 1) for line in (folder / "pfs/.env").read_text().splitlines())
    assert variables["in"] == "/pfs/in/good"
    assert variables["PACH_JOB_ID"]
    assert not {"HOME", "LOCAL_RUNNER_HOME", "PPS_WORKER_GRPC_PORT"} & variables.keys()


def test_an_exported_datum_that_fails_fails(edges, tmp_path):
    edges.ok(f"datum export edges@{job(edges)} /bad out")
    assert (sh("out").returncode, sh("out").stderr) == (1, "it fails\n")


def test_where_there_are_no_namespaces_the_command_is_told_where_its_files_are(edges, tmp_path, without_namespaces):
    edges.ok("datum export edges /good out")
    folder = moved(tmp_path, "out", "plain")  # the path gets into a script
    done = sh(folder, PATH=without_namespaces)
    assert done.returncode == 0
    assert f"the command is told {folder}/pfs instead of /pfs" in done.stderr
    assert outputs(folder / "pfs/out") == {"good": "1\n"}


@pytest.fixture
def project(pachctl, tmp_path):
    """A pipeline whose code is in a folder of the project."""
    (tmp_path / "local_runner.toml").write_text(PROJECT)
    (tmp_path / "code/lib").mkdir(parents=True)
    (tmp_path / "code/Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "code/main.sh").write_text(MAIN)
    (tmp_path / "code/lib/part").write_text("part\n")
    pachctl.monkeypatch.setenv("LOCAL_RUNNER_HOME", str(tmp_path / "home"))
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/good -f -", stdin="1\n")
    return pachctl


def described(**transform):
    return spec(
        **{
            "image": "mine:1",
            "cmd": ["sh", "/opt-of-mine/main.sh", 'it\'s "x"', "/pfs/out"],
            "stdin": [],
            "working_dir": "/opt-of-mine",
            **transform,
        }
    )


@pytest.mark.parametrize("namespaces", [True, False])
def test_the_code_and_the_environment_of_the_image_go_along(project, tmp_path, without_namespaces, namespaces):
    project.ok("create pipeline -f -", stdin=described())
    project.ok("datum export edges /good out")
    (tmp_path / "code/main.sh").write_text("exit 9")
    folder = moved(tmp_path, "out")
    done = sh(folder, **({} if namespaces else {"PATH": without_namespaces}))
    assert done.returncode == 0, done
    assert done.stdout == "1\n"
    found = outputs(folder / "pfs/out")
    assert found["greeting"] == 'hello you, it\'s "x"\npart\n'
    assert found["pwd"] == ("/opt-of-mine\n" if namespaces else f"{folder}/code/opt-of-mine\n")


def test_the_working_directory_of_the_image_is_there_even_if_the_host_has_none(project):
    project.ok("create pipeline -f -", stdin=described(cmd=["sh", "-c", "pwd; ls"], working_dir=""))
    project.ok("datum export edges /good out")
    where, *files = sh("out").stdout.splitlines()
    assert where.endswith("/work/here")
    assert files == ["main.sh"]


def test_secrets_are_not_written_but_asked_for(pachctl):
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/good -f -", stdin="1\n")
    pachctl.ok("create secret -f -", stdin='{"metadata": {"name": "vault"}, "stringData": {"key": "hush"}}')
    secret = [{"name": "vault", "key": "key", "env_var": "TOKEN"}]
    pachctl.ok("create pipeline -f -", stdin=spec(cmd=["sh", "-c", "echo $TOKEN"], stdin=[], secrets=secret))
    pachctl.ok("datum export edges /good out")
    assert "hush" not in "".join(outputs("out").values())
    without = sh("out")
    assert without.returncode != 0
    assert "TOKEN: is a secret of the pipeline: set it" in without.stderr
    assert sh("out", TOKEN="known").stdout == "known\n"


BATCH = """\
import grpc, os, shutil
def words(data):
    found = []
    while data:
        size, at = 0, 1
        while True:
            size |= (data[at] & 127) << 7 * (at - 1)
            at += 1
            if data[at - 1] < 128: break
        found.append(data[at:at + size].decode())
        data = data[at + size:]
    return found
with grpc.insecure_channel("127.0.0.1:" + os.environ["PPS_WORKER_GRPC_PORT"]) as channel:
    ask = channel.unary_unary("/pachyderm.worker.Worker/NextDatum")
    error = b""
    while True:
        env = dict(word.split("=", 1) for word in words(ask(error)))
        shutil.copy(env["in"], "/pfs/out")
        error = b"\\n\\4mine" if "fail" in open(env["in"]).read() else b""
"""


def test_a_command_that_batches_gets_its_one_datum_there_too(edges, tmp_path):
    if sys.platform != "linux":
        pytest.skip("needs /pfs at /pfs")
    (tmp_path / "spec.json").write_text(spec("idea", cmd=["python3", "-c", BATCH], stdin=[], datum_batching=True))
    for name, status in (("good", 0), ("bad", 1)):
        edges.ok(f"datum export --input spec.json /{name} {name}")
        done = sh(name)
        assert done.returncode == status, done
        assert list(outputs(f"{name}/pfs/out")) == [name]
    assert "it failed: mine" in done.stderr


def test_a_folder_that_holds_something_is_left_alone(edges, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("mine")
    ended = edges("datum export edges /good out")
    assert ended.status == 1
    assert "out is there already" in ended.err
    assert outputs("out") == {"mine": "mine"}


@pytest.mark.parametrize("line", ["datum export", "datum export edges", "datum export edges /a /b out", "datum test edges /a /b"])
def test_too_few_and_too_many_words_are_bad_usage(edges, line):
    assert edges(line).status == 2


def test_a_possible_datum_is_exported(edges, tmp_path):
    (tmp_path / "spec.json").write_text(spec("idea"))
    edges.ok("datum export --input spec.json /good out")
    assert sh("out").returncode == 0


# Tests


def run_pytest(*files):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_written_test_passes_while_the_code_does_the_same(edges, tmp_path):
    edges.ok(f"datum test edges@{job(edges)} /good")
    (file,) = tmp_path.glob("test_edges_*.py")
    done = run_pytest(file)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
    assert outputs(file.with_suffix("") / "pfs/out") == {}
    (file.with_suffix("") / "expected/good").write_text("2\n")
    assert "1 failed" in run_pytest(file).stdout


def test_a_written_test_is_of_the_code_as_it_is_now(project, tmp_path):
    code = tmp_path / "code/main.sh"
    code.write_text("cp /pfs/in/* /pfs/out/\n")
    project.ok("create pipeline -f -", stdin=described())
    (tmp_path / "tests").mkdir()
    project.ok("datum test edges@master:/good tests/test_good.py")
    assert run_pytest("tests/test_good.py").returncode == 0
    code.write_text("echo other > /pfs/out/good\n")
    changed = run_pytest("tests/test_good.py")
    assert changed.returncode == 1
    assert "other" in changed.stdout
    code.write_text("echo why >&2; exit 7\n")
    assert "why" in run_pytest("tests/test_good.py").stdout


def test_a_test_may_accept_what_the_pipeline_accepts(edges, tmp_path):
    edges.ok("update pipeline -f -", stdin=spec(stdin=[*COPY, "exit 4"], accept_return_code=[4]))
    edges.ok("datum test edges@master:/good test_it.py")
    assert run_pytest("test_it.py").returncode == 0


def test_where_nothing_was_committed_there_is_nothing_to_test(edges):
    ended = edges(f"datum test edges@{job(edges)} /bad")
    assert ended.status == 1
    assert "nothing to compare with: it did not succeed yet" in ended.err
    edges.ok("stop pipeline edges")
    edges.ok("put file data@master:/good -f -", stdin="2\n")
    assert "its input files were others" in edges("datum test edges /good").err


def test_a_test_that_is_there_is_left_alone(edges, tmp_path):
    (tmp_path / "test_it.py").write_text("mine")
    assert edges("datum test edges /good test_it.py").status == 1
    assert (tmp_path / "test_it.py").read_text() == "mine"


EVIL = "a`touch x1`\"\"\"''';touch x2;#$x3 -e\\"  # what a file of a repo may be called
EVIL_ENV = {
    "A": "$(touch x4)`touch x5`'\"\n; touch x6",
    "a.b-c": "dots & dashes",
    "-Stouch": "x7",
    "--chdir": "/nowhere",
    ".x": "\\n%s\\",
}


@pytest.fixture
def evil(pachctl, tmp_path):
    """A datum whose names and values would all do something in a shell, a Python or a command line."""
    pachctl.ok("create repo data")
    pachctl.ok("put file", f"data@master:/{EVIL}", "-f", "-", stdin="1\n")
    pachctl.ok("create secret -f -", stdin='{"metadata": {"name": "vault"}, "stringData": {"key": "hush"}}')
    secrets = [{"name": "vault", "key": "key", "env_var": name} for name in ("TOKEN", "a.secret", "-Stouch-x8")]
    show = "import json, os, shutil; shutil.copytree('/pfs/in', '/pfs/out', dirs_exist_ok=True); print(json.dumps(dict(os.environ)))"
    command = ["python3", "-c", show, "$(touch x0)", "-x"]
    pachctl.ok("create pipeline -f -", stdin=spec(cmd=command, env=EVIL_ENV, secrets=secrets, stdin=["END", "`touch x`"]))
    return pachctl


def test_what_is_written_to_be_run_takes_names_and_values_as_data(evil, tmp_path):
    assert "sh './-x y/run.sh' runs it" in evil.ok("datum export -- edges", "-x y").err
    folder = moved(tmp_path, "-x y")
    for name in ("a.secret", "-Stouch-x8"):
        (folder / "secrets" / name).write_text(f"of {name}\n")
    work = tmp_path / "work"
    work.mkdir()
    given = {"PATH": os.environ["PATH"], "TOKEN": "$(touch x9)"}
    done = subprocess.run(["sh", folder / "run.sh"], env=given, capture_output=True, text=True, check=False, cwd=work, timeout=60)
    found = json.loads(done.stdout)
    assert found.items() >= EVIL_ENV.items()
    assert found["TOKEN"] == "$(touch x9)"
    assert found["a.secret"] == "of a.secret"
    assert found["-Stouch-x8"] == "of -Stouch-x8"
    assert outputs(folder / "pfs/out") == {EVIL: "1\n"}
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith("x")]
    assert "<<'END_'" in (folder / "README").read_text()


def test_the_source_of_a_written_test_is_not_its_datums_to_choose(evil, tmp_path):
    evil.ok("datum test edges test_it.py")
    ended = subprocess.run(
        [sys.executable, "-c", "import ast, sys; [print(type(node).__name__) for node in ast.parse(open('test_it.py').read()).body]"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.split() == ["Expr", "Import", "Import", "ImportFrom", "Assign", "Assign", "Assign", "FunctionDef", "FunctionDef"]


@pytest.mark.parametrize("name", ["A=b", "A;touch x", "$(touch x)", "A\nB"])
def test_a_variable_that_no_container_can_have_is_never_written(evil, name):
    document = spec(name="more", env={name: "x"}, stdin=[])
    assert evil("create pipeline -f -", stdin=document).status == 2


def test_the_names_of_an_older_home_are_data_too(pachctl, tmp_path, monkeypatch):
    monkeypatch.setattr("local_runner.specs.parse.name_errors", lambda request: ())  # as it was taken then
    pachctl.ok("create repo data")
    pachctl.ok("put file data@master:/good -f -", stdin="1\n")
    names = ["$(touch x1)", "a;touch x2;", "`touch x3`", "a\ntouch x4\n", "-S touch x5", '"; touch x6; "']
    secrets = [{"name": "vault", "key": "key", "env_var": name} for name in names]
    show = ["python3", "-c", "import shutil; shutil.copytree('/pfs/in', '/pfs/out', dirs_exist_ok=True)"]
    pachctl.ok("create pipeline -f -", stdin=spec(cmd=show, env=dict.fromkeys(names, "v"), secrets=secrets, stdin=[]))
    pachctl.ok("datum export edges out")
    pachctl.ok("datum test edges test_it.py")
    assert sh("out").returncode == 0
    assert outputs("out/pfs/out") == {"good": "1\n"}
    assert not [*tmp_path.rglob("x*"), *Path("/").glob("x[1-9]")]
