"""Contexts: there is one, and what cannot be chosen is refused."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("config get active-context", "default\n"),
        ("config list contexts", "ACTIVE\tNAME\nE*\tdefault\n"),
        ("config set active-context default", ""),
        ("config update context default", ""),
    ],
)
def test_the_one_context_is_there(pachctl, line, shown):
    assert pachctl.ok(line).out == shown


def test_the_active_context_is_a_name_that_scripts_can_use(pachctl):
    name = pachctl.ok("config get active-context").out
    assert name == "default\n"
    pachctl.ok("create project lab")
    assert pachctl.ok(f"config update context {name.strip()} --project lab").out == ""
    assert pachctl.ok("config get context default").document == {"project": "lab"}
    assert pachctl.ok("config update context --project ''").out == 'editing the currently active context "default"\n'
    assert pachctl.ok("config get context").document == {"project": "default"}


@pytest.mark.parametrize("verb", ["set active-context", "get context", "update context"])
def test_a_context_that_is_not_there_is_an_error(pachctl, verb):
    ended = pachctl(f"config {verb} nosuch")
    assert (ended.status, ended.out) == (4, "")
    assert ended.err.splitlines() == ["context does not exist: nosuch", "hint: there is one, default"]


@pytest.mark.parametrize(
    "line",
    [
        *("config set context foo", "config set context foo --overwrite", "config update context --pachd-address x:1"),
        *(
            "config update context default --namespace n",
            "config delete context default",
            "config set metrics true",
            "config import-kube x",
        ),
    ],
)
def test_what_only_a_cluster_could_do_is_refused_and_says_so(pachctl, line):
    ended = pachctl(line, stdin="{}")
    assert (ended.status, ended.out) == (1, "")
    assert "there is no cluster" in ended.err or "nothing is ever sent" in ended.err


@pytest.mark.parametrize(
    "line", ["config get active-context", "list repo", "create repo r", "config set context", "config get nothing here"]
)
def test_a_variable_that_names_another_context_is_an_error(pachctl, monkeypatch, line):
    if line.startswith("config") and "active" not in line:
        assert pachctl(line).status in (1, 2)
        return
    monkeypatch.setenv("PACH_CONTEXT", "foobar")
    ended = pachctl(line)
    assert (ended.status, ended.out) == (4, "")
    assert ended.err.startswith("PACH_CONTEXT refers to a context ('foobar') that does not exist\nhint: unset PACH_CONTEXT")
    monkeypatch.setenv("PACH_CONTEXT", "default")
    assert pachctl(line).status == 0
