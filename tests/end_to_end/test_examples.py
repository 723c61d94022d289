"""The examples that Pachyderm ships, typed as their READMEs have them, over stand-ins for their images; and the page about them."""

from __future__ import annotations

import functools
import http.server
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from local_runner.engine.config import EngineConfig
from local_runner.engine_host import work
from local_runner.executors.sandbox import SandboxExecutor
from local_runner.images import notes
from local_runner.project.file import images_of
from tests.cli.conftest import Pachctl
from tests.end_to_end import examples
from tests.end_to_end.examples import EDGES, PURCHASES, RETURNS, STORES, Spec, grouped, montage, pfs, reduced, spec, store_join
from tests.executors.test_sandbox import needs_sandbox

pytestmark = needs_sandbox
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/EXAMPLES.md"
MAGICK, OPENCV = {"dpokidov/imagemagick:7": "imagemagick"}, {"pachyderm/opencv:1.0": "opencv"}


class Example:
    """A folder with an example's files. `example(…)` types lines of pachctl there and gives what the last one printed, as lines."""

    def __init__(self, root: Path, pachctl: Pachctl) -> None:
        self.root, self.pachctl = root, pachctl
        self.said = ""  # on standard error, so far

    def write(
        self, files: dict[str, str] | None = None, specs: dict[str, Spec] | None = None, images: dict[str, str] | None = None
    ) -> None:
        examples.write(self.root, files or {}, specs or {}, images or {})

    def __call__(self, *lines: str, stdin: str = "") -> list[str]:
        printed: list[str] = []
        for line in lines:
            ended = self.pachctl.ok(line, stdin=stdin)
            self.said += ended.err
            printed = ended.lines
        return printed

    def files(self, commit: str) -> dict[str, str]:
        paths = [
            found["file"]["path"] for found in self.pachctl.ok(f"glob file {commit}:/** --raw").documents if found["file_type"] == "FILE"
        ]
        return {path: self.pachctl.ok(f"get file {commit}:{path}").out for path in paths}

    def progress(self, pipeline: str) -> list[str]:
        """PROGRESS and STATE of its jobs, the newest first."""
        jobs = self.pachctl.ok(f"list job -p {pipeline} --raw").documents
        counts = [[int(job.get(name, 0)) for name in ("data_processed", "data_skipped", "data_total")] for job in jobs]
        states = [job["state"].removeprefix("JOB_").lower() for job in jobs]
        return [f"{done} + {skipped} / {total} {state}" for (done, skipped, total), state in zip(counts, states, strict=True)]


@pytest.fixture
def example(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Example:
    executor, home = SandboxExecutor(), tmp_path / ".local_runner"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCAL_RUNNER_HOME", str(home))
    monkeypatch.setattr(notes, "choose", lambda name: (executor, ""))
    return Example(tmp_path, Pachctl(capsys, monkeypatch, lambda runner: work(runner, EngineConfig(executor, 2, partial(images_of, home)))))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A web server on this machine with two pages."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "license").write_text("the license is the license\n")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Nothing is said."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_opencv(example: Example) -> None:
    example.write(
        {"liberty.png": "abc", "kitten.png": "xyz"},
        {"edges.pipeline.json": EDGES, "montage.pipeline.json": montage("montage", "images", "edges")},
        {**OPENCV, **MAGICK},
    )
    example("create repo images", "put file images@master:liberty.png -f liberty.png", "create pipeline -f edges.pipeline.json")
    assert "Dockerfile installs python3-opencv with apt-get" in example.said
    assert example.said.count("not done") == 0
    assert example.files("edges@master") == {"/liberty.png": "cba"}
    example("create pipeline -f montage.pipeline.json", "put file images@master:kitten.png -f kitten.png")
    assert example.progress("edges") == ["1 + 1 / 2 success", "1 + 0 / 1 success"]
    assert example.files("montage@master") == {"/montage.png": "zyx" + "cba" + "xyz" + "abc"}


def test_word_count(example: Example, site: str) -> None:
    fetch = ("for f in /pfs/urls/*", "do", "wget -q --directory-prefix /pfs/out/$(basename $f) $(cat $f)", "done")
    scraper = spec("scraper", pfs("urls", "/*"), "bash", stdin=fetch, transform={"acceptReturnCode": [4, 5, 6, 7, 8]})
    count = spec("map", pfs("scraper", "/*/*"), "app", "/pfs/scraper/", "/pfs/out", image="pachyderm/example-wordcount:2.0.3")
    total = ("for f in /pfs/map/*/*", "do", "cat $f >> /tmp/$(basename $f)", "done", "cp /tmp/the /tmp/license /pfs/out/")
    example.write(
        {"data/Wikipedia": "http://192.0.2.1/license\n"},
        {"scraper.json": scraper, "map.json": count, "reduce.json": spec("reduce", pfs("map", "/"), "sh", stdin=total)},
        {"pachyderm/example-wordcount": "wordcount"},
    )
    example("create repo urls", "put file urls@master -f data/Wikipedia", "create pipeline -f scraper.json", "create pipeline -f map.json")
    (first,) = example.pachctl.ok("list job -p scraper --raw").documents
    assert first["state"] == "JOB_SUCCESS", "the example accepts the codes of a wget that failed"
    assert "user code tried to reach the network" in example.pachctl.ok("logs -p scraper").out
    assert any(line.endswith("success: user code tried to reach...") for line in example("list job -p scraper"))
    example.write(
        {"data/Wikipedia": f"{site}/license\n"},
        {"scraper.json": {**scraper, "metadata": {"annotations": {"local_runner/network": "true"}}}},
    )
    example("put file urls@master -f data/Wikipedia", "update pipeline -f scraper.json --reprocess", "create pipeline -f reduce.json")
    assert example.files("map@master") == {"/license/is": "1\n", "/license/license": "2\n", "/license/the": "2\n"}
    assert example.files("reduce@master") == {"/license": "2\n", "/the": "2\n"}


def test_joins(example: Example) -> None:
    outer = store_join("outer_join", "returns", "outer/main.py", outerJoin=True)
    specs = {
        "inner.json": store_join("inner_join", "purchases", "inner/main.py"),
        "reduce_inner.json": reduced("reduce_inner", "inner_join"),
        "outer.json": outer,
        "reduce_outer.json": reduced("reduce_outer", "outer_join"),
    }
    example.write({**STORES, **PURCHASES, **RETURNS}, specs, {"pachyderm/example-joins": "joins"})
    for repo in ("stores", "purchases", "returns"):
        example(f"create repo {repo}", f"put file -r {repo}@master:/ -f {repo}")
    assert len(example("list datum -f inner.json")) == 1 + 3
    example("create pipeline -f inner.json", "create pipeline -f reduce_inner.json")
    assert example.files("reduce_inner@master") == {"/02108.txt": "100\n50\n7\n"}
    assert len(example("list datum -f outer.json")) == 1 + 4
    example("create pipeline -f outer.json", "create pipeline -f reduce_outer.json")
    assert example.files("reduce_outer@master") == {"/02108.txt": "30\n", "/90210.txt": "", "/UNKNOWN.txt": "1\n"}
    outer["input"]["join"][1]["pfs"]["outerJoin"] = False
    example.write({}, {"outer.json": outer})
    example("update pipeline -f outer.json --reprocess")
    assert example.files("reduce_outer@master") == {"/02108.txt": "30\n", "/90210.txt": ""}


def test_group(example: Example) -> None:
    results = {
        f"labresults/T{number}-PATID{patient}-CLIA{lab}.txt": f"{number}\n" for number, patient, lab in [(1, 1, 5), (2, 1, 6), (3, 2, 5)]
    }
    every = [pfs(repo, glob, groupBy="$1") for repo, glob in [("stores", "/STOREID(*).txt"), ("purchases", "/*_STOREID(*).txt")]]
    retail = spec("group_store_revenue", {"group": [*every, pfs("returns", "/*_STOREID(*).txt", groupBy="$1")]}, "python", "main.py")
    retail["transform"]["image"] = "pachyderm/example-group:2.1.0"
    specs = {
        "lab.json": grouped("group_by_hospital", "/*-CLIA(*).txt"),
        "reduce.json": reduced("reduce_group_by_hospital", "group_by_hospital"),
        "retail.json": retail,
    }
    example.write({**results, **STORES, **PURCHASES, "returns/OD1_STOREID1.txt": "30\n"}, specs, {"pachyderm/example-group": "group"})
    for repo in ("labresults", "stores", "purchases", "returns"):
        example(f"create repo {repo}", f"put file -r {repo}@master:/ -f {repo}")
    example("create pipeline -f lab.json", "create pipeline -f reduce.json", "create pipeline -f retail.json")
    assert example.files("reduce_group_by_hospital@master") == {"/5.txt": "1\n3\n", "/6.txt": "2\n"}
    assert example.files("group_store_revenue@master") == {"/1.txt": "120\n", "/2.txt": "7\n", "/3.txt": "0\n"}


def test_err_cmd(example: Example) -> None:
    def lines(name: str, then: str) -> list[str]:
        return ["if", f"[ -e /pfs/input/{name} ]", f"then {then}", "exit 0", "fi", "exit 1"]

    more = {"stdin": lines("file1", "cp /pfs/input/* /pfs/out/"), "err_cmd": ["bash"], "err_stdin": lines("file2", "true")}
    example.write({}, {"error_test.json": spec("error_test", pfs("input", "/*"), "bash", transform=more)})
    example("create repo input", "create pipeline -f error_test.json")
    for name in ("file1", "file2", "file3"):
        example(f"put file input@master:{name}", stdin="foo\n")
    assert example.progress("error_test")[:3] == ["0 + 0 / 3 failure", "0 + 1 / 2 success", "1 + 0 / 1 success"]
    assert "0 + 1 + 1 / 2" in "\n".join(example("list job --no-pager -p error_test"))


def test_shuffle(example: Example) -> None:
    def moved(repo: str, ending: str, name: str) -> str:
        folder = f"/pfs/out/$(basename $f .{ending})"
        return f"for f in /pfs/{repo}/*; do [ -e $f ] && mkdir -p {folder} && ln -s $f {folder}/{name}.{ending}; done; true"

    inputs = {"union": [pfs("fruits", "/*.jpeg", emptyFiles=True), pfs("pricing", "/*.json", emptyFiles=True)]}
    stdin = (moved("fruits", "jpeg", "img"), moved("pricing", "json", "cost"))
    example.write(
        {f"{name}.{ending}": f"{name} {ending}" for name in ("mango", "apple") for ending in ("jpeg", "json")},
        {"shuffle.pipeline.json": spec("shuffle", inputs, "/bin/bash", image="ubuntu:20.04", stdin=stdin)},
    )
    example("create repo fruits", "put file fruits@master -f mango.jpeg", "put file fruits@master -f apple.jpeg")
    example("create repo pricing", "put file pricing@master -f mango.json", "put file pricing@master -f apple.json")
    example("create pipeline -f shuffle.pipeline.json")
    assert example.files("shuffle@master") == {
        f"/{name}/{kind}.{ending}": f"{name} {ending}"
        for name in ("apple", "mango")
        for kind, ending in (("cost", "json"), ("img", "jpeg"))
    }
    assert " 4 + 0 / 4 0B 0B success" in example("list job -p shuffle")[1], "no byte was copied"


def test_run(example: Example) -> None:
    stdin = ("for file in /secrets/*; do", "export $(basename $file)=$(cat $file);", "done", "sh -c $PIPELINE_HOME/run.sh")
    secrets = {"secrets": [{"name": "login", "mountPath": "/secrets"}], "imagePullSecrets": ["registry"]}
    example.write(
        {"in": "hello"},
        {"target.json": spec("pipe", pfs("in", "/*"), "/bin/bash", image="me/run:1", stdin=stdin, transform=secrets, datum_tries=1)},
        {"me/run": "run"},
    )
    example("create repo in", "put file in@master:/a -f in", "create pipeline -f target.json")
    assert "COPY $SRC/* $PIPELINE_HOME/ is not done: only a build gives PIPELINE_HOME, SRC a value" in example.said
    assert "secret login is not here, so /secrets is left out" in example.said
    assert example.progress("pipe") == ["0 + 0 / 1 failure"]
    dockerfile = example.root / "images/run/Dockerfile"
    text = dockerfile.read_text().replace("ARG PIPELINE_HOME", "ARG PIPELINE_HOME=/home/pipe").replace("ARG SRC", "ARG SRC=src")
    dockerfile.write_text(text)
    example("create secret", stdin='{"metadata": {"name": "login"}, "stringData": {"DATABASE_USERNAME": "ann"}}')
    example("update pipeline -f target.json --reprocess")
    assert example.files("pipe@master") == {"/said": "ann hello\n"}


def test_global_id(example: Example) -> None:
    example.write(
        {"liberty.png": "abc"},
        {"edges.json": EDGES, "montage.json": montage("montage", "images", "edges")},
        {**OPENCV, **MAGICK},
    )
    example(
        "create repo images", "create pipeline -f edges.json", "create pipeline -f montage.json", "put file images@master -f liberty.png"
    )
    commit = example.pachctl.ok("inspect commit images@master --raw").document["commit"]["id"]
    for repo in ("edges", "montage"):
        assert example.pachctl.ok(f"inspect commit {repo}@{commit} --raw").document["commit"]["id"] == commit
    assert sorted(line.split()[1] for line in example(f"list job {commit}")[1:]) == ["edges", "montage"]
    example("update pipeline -f edges.json --reprocess")
    newest = example.pachctl.ok("list job --raw").documents[0]
    assert sorted(job["job"]["pipeline"]["name"] for job in newest["jobs"]) == ["edges", "montage"]
    assert newest["job_set"]["id"] != commit
    assert example.pachctl.ok("inspect commit images@master --raw").document["commit"]["id"] == commit, "nothing was put"


def test_deferred_processing(example: Example) -> None:
    edges = {**EDGES, "pipeline": {"name": "edges_dp"}, "input": pfs("images_dp_1", "/*", name="images"), "outputBranch": "dev"}
    pictures = {f"{name}.png": name for name in "abcd"}
    example.write(
        pictures,
        {"edges_dp.json": edges, "montage_dp.json": montage("montage_dp", "images_dp_2", "edges_dp")},
        {**OPENCV, **MAGICK},
    )
    example("create repo images_dp_1", "create repo images_dp_2", "create pipeline -f edges_dp.json", "create pipeline -f montage_dp.json")
    example("put file images_dp_1@master -f a.png", "put file images_dp_1@master -f b.png", "put file images_dp_2@master -f c.png")
    assert [line.split()[0] for line in example("list branches edges_dp")[1:]] == ["master", "dev"]
    assert example.progress("montage_dp")[0] == "0 + 0 / 0 success", "edges_dp has nothing on master"
    example("create branch edges_dp@master --head dev")
    assert example.progress("montage_dp")[0] == "1 + 0 / 1 success"
    before = len(example.progress("montage_dp"))
    example("put file images_dp_1@master:d.png -f d.png")
    assert (example.progress("edges_dp")[0], len(example.progress("montage_dp"))) == ("1 + 2 / 3 success", before)
    example("start transaction", "start commit images_dp_2@master", "create branch edges_dp@master --head dev", "finish transaction")
    example("put file images_dp_2@master:d.png -f d.png")
    assert len(example.progress("montage_dp")) in (before, before + 1)
    example("finish commit images_dp_2@master")
    assert (len(example.progress("montage_dp")), example.progress("montage_dp")[0]) == (before + 1, "1 + 0 / 1 success")
    assert list(example.files("montage_dp@master")) == ["/montage.png"]


def test_db(example: Example) -> None:
    stdin = ("export uri=$(cat /tmp/mongosecret/uri)", 'mongo "$uri" --quiet | tail -n1 > /pfs/out/output.json')
    secrets = {"secrets": [{"name": "mongosecret", "mountPath": "/tmp/mongosecret"}]}
    query = spec("query", {"cron": {"name": "tick", "spec": "@yearly", "overwrite": True}}, "/bin/bash", image="mongo", stdin=stdin)
    query["transform"] |= secrets
    example.write(
        {"secret.json": '{"metadata": {"name": "mongosecret"}, "stringData": {"uri": "mongodb://x"}}'},
        {"query.json": query},
        {"mongo": "mongo"},
    )
    example("create secret -f secret.json", "create pipeline -f query.json", "run cron query")
    assert example.files("query@master") == {"/output.json": '{ "asked": "mongodb://x" }\n'}


def test_iris(example: Example) -> None:
    example.write(
        {
            "data/iris.csv": "5.1,1.4,setosa\n4.9,1.4,setosa\n6.3,6.0,virginica\n5.8,5.1,virginica\n",
            "data/test/1": "5.0,1.5",
            "data/test/2": "6.0,5.5",
        },
        {
            "train.json": spec(
                *("model", pfs("training", "/"), "python3", "/code/pytrain.py", "/pfs/training/", "/pfs/out/"),
                image="pachyderm/iris-train:python-svm",
                parallelismSpec={"constant": 1},
            ),
            "infer.json": spec(
                *("inference", {"cross": [pfs("attributes", "/*"), pfs("model", "/")]}, "python3", "/code/pyinfer.py"),
                *("/pfs/model/", "/pfs/attributes/", "/pfs/out/"),
                image="pachyderm/iris-infer:python",
            ),
        },
        {"pachyderm/iris-train:python-svm": "iris-train", "pachyderm/iris-infer:python": "iris-infer"},
    )
    example("create repo training", "create repo attributes")
    os.chdir("data")
    example("put file training@master -f iris.csv")
    os.chdir("..")
    example("create pipeline -f train.json")
    os.chdir("data/test")
    example("put file attributes@master -r -f .")
    os.chdir("../..")
    example("create pipeline -f infer.json")
    assert example.files("inference@master") == {"/1": "setosa\n", "/2": "virginica\n"}
    (example.root / "data/iris.csv").write_text("5.1,1.4,setosa\n6.0,5.5,versicolor\n")
    example("put file training@master -f ./data/iris.csv")
    assert example.files("inference@master")["/2"] == "versicolor\n"


def test_spouts(example: Example) -> None:
    """With an engine in the background, which is where spouts run."""
    example.write(
        {},
        {
            "spout.json": spec("spout", None, "python", "consumer/main.py", image="pachyderm/example-spout101:2.0.1", spout={}),
            "processor.json": spec(
                "processor", pfs("spout", "/*"), "python", "processor/main.py", image="pachyderm/example-spout101:2.0.1"
            ),
        },
        {"pachyderm/example-spout101": "spout101"},
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "LOCAL_RUNNER_EXECUTOR": "sandbox"}

    def pachctl(line: str) -> str:
        """What a command prints; while nothing was written yet, some are errors."""
        command = [sys.executable, "-m", "local_runner", *line.split()]
        return subprocess.run(command, cwd=example.root, env=env, capture_output=True, text=True, check=False, timeout=60).stdout

    def found(listed: str) -> set[str]:
        return set(re.findall(r"/\dK/\d", listed))

    try:
        pachctl("create pipeline -f spout.json")
        pachctl("create pipeline -f processor.json")
        until = time.monotonic() + 30
        while time.monotonic() < until and found(pachctl("glob file processor@master:/**")) != {"/1K/1", "/2K/0", "/2K/2"}:
            time.sleep(0.2)
        assert found(pachctl("glob file processor@master:/*/*")) == {"/1K/1", "/2K/0", "/2K/2"}
    finally:
        pachctl("delete pipeline processor")
        pachctl("delete pipeline spout")


def test_each_row_of_the_page_is_an_example_that_is_run() -> None:
    named = re.findall(r"`tests/end_to_end/test_examples\.py::(test_\w+)`", PAGE.read_text())
    run = [
        name for name, found in globals().items() if name.startswith("test_") and "Example" in str(getattr(found, "__annotations__", ""))
    ]
    assert sorted(named) == sorted(run)
