"""`doctor`: each thing a host may lack is named with the way to get it, and only what the defaults need makes the exit status 5."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import pytest

from local_runner.cli.commands import doctor
from local_runner.executors.container import ContainerExecutor
from local_runner.executors.process import ProcessExecutor
from local_runner.executors.sandbox import SandboxExecutor
from local_runner.executors.table import EXECUTORS

Version = namedtuple("Version", "major minor micro")


def state(ended, what):
    return next((found["state"], found["here"], found["remedy"]) for found in ended.documents if found["what"] == what)


def test_everything_that_was_looked_at_is_listed(pachctl):
    ended = pachctl("doctor --raw")
    assert {
        *("python", "packages", "by default", "container engine", "home", "scratch"),
        *("shared blocks", "shared memory", "sqlite", "file hash", "inotify"),
    } <= {found["what"] for found in ended.documents}
    assert {f"executor {name}" for name in EXECUTORS} <= {found["what"] for found in ended.documents}
    assert all(bool(found["remedy"]) == (found["state"] != "ok") for found in ended.documents)
    assert pachctl("doctor").lines[0] == "WHAT STATE HERE TO GET IT"


def test_this_host_has_what_the_defaults_need(pachctl, tmp_path):
    assert pachctl("doctor").status == 0
    assert not (tmp_path / "home").exists()


def test_which_hash_of_large_files_is_used_is_said_and_how_to_get_the_fast_one(pachctl, monkeypatch):
    monkeypatch.setattr("local_runner.model.file_hash.native_cut", lambda: max)
    assert state(pachctl.ok("doctor --raw"), "file hash") == ("ok", "by the C extension", "")
    monkeypatch.setattr("local_runner.model.file_hash.native_cut", lambda: None)
    how, here, remedy = state(pachctl.ok("doctor --raw"), "file hash")
    assert (how, here.partition(":")[0]) == ("optional", "by numpy")
    assert "compiler" in remedy


def test_what_an_executor_does_not_keep_user_code_from_is_said(pachctl, monkeypatch):
    monkeypatch.setattr("local_runner.executors.sandbox._kernel", lambda: (5, 10))
    ended = pachctl.ok("doctor --raw")
    assert state(ended, "executor sandbox") == ("ok", "works; nothing limits processes", "")
    assert "hides host files, hides processes" in state(ended, "executor process")[1]


def test_a_host_without_namespaces_uses_processes_and_is_told_how_to_get_the_sandbox(pachctl, monkeypatch):
    monkeypatch.setattr(SandboxExecutor, "_why_not", "unshare: not permitted; allow user namespaces")
    monkeypatch.setattr(ContainerExecutor, "why_not", lambda self: "there is no engine")
    ended = pachctl.ok("doctor --raw")
    assert state(ended, "executor sandbox") == ("optional", "unshare: not permitted", "allow user namespaces")
    assert "executor process" in state(ended, "by default")[1]


def test_a_host_that_can_run_nothing_is_no_good(pachctl, monkeypatch):
    monkeypatch.setattr(SandboxExecutor, "_why_not", "no; go to Linux")
    monkeypatch.setattr(ProcessExecutor, "why_not", lambda self: "no; go to a computer")
    monkeypatch.setattr("local_runner.executors.table.EXECUTORS", {name: EXECUTORS[name] for name in ("sandbox", "process")})
    ended = pachctl("doctor --raw")
    assert ended.status == 5
    assert state(ended, "by default")[0] == "missing"


@pytest.mark.parametrize(
    ("patched", "name", "value", "what", "remedy"),
    [
        (sys, "version_info", Version(3, 9, 1), "python", "install Python 3.11 or newer"),
        (sqlite3, "sqlite_version_info", (3, 7, 0), "sqlite", "use a Python with SQLite 3.8.2 or newer"),
        (shutil, "disk_usage", lambda path: namedtuple("Usage", "free")(1 << 20), "home", "set LOCAL_RUNNER_HOME to another folder"),
        (doctor, "_file_system", lambda folder: "nfs4", "home", "set LOCAL_RUNNER_HOME to another folder"),
    ],
)
def test_what_the_defaults_need_makes_the_exit_status_5(pachctl, monkeypatch, patched, name, value, what, remedy):
    monkeypatch.setattr(patched, name, value)
    ended = pachctl("doctor --raw")
    assert ended.status == 5
    found = state(ended, what)
    assert (found[0], found[2]) == ("missing", remedy)


def test_packages_are_those_of_the_distribution_and_of_its_extras(pachctl, monkeypatch):
    wanted = ["click>=8.1", "click>=99", 'surely-not-there>=1; extra == "stages"', 'click>=8; extra == "dev"']
    monkeypatch.setattr(metadata, "requires", lambda name: wanted)
    ended = pachctl("doctor --raw")
    assert ended.status == 5
    installed = metadata.version("click")
    assert state(ended, "packages") == ("missing", f"click>=99 ({installed} is installed)", "pip install local_runner")
    assert state(ended, "extra stages")[::2] == ("optional", "pip install 'local_runner[stages]'")
    assert state(ended, "extra dev")[0] == "ok"


def test_a_container_engine_is_only_for_those_who_want_one(pachctl, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    found = state(pachctl.ok("doctor --raw"), "container engine")
    assert found[:2] == ("optional", "neither podman nor docker")


def test_a_file_system_is_that_of_the_nearest_mount():
    assert doctor._file_system(Path("/proc")) == "proc"
    assert doctor._file_system(Path("/proc/sys/kernel")) == "proc"
