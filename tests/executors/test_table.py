from __future__ import annotations

import pytest

from local_runner.errors import Invalid, Unavailable
from local_runner.executors import table
from local_runner.executors.container import ContainerExecutor
from local_runner.executors.process import ProcessExecutor
from local_runner.executors.sandbox import SandboxExecutor


class Impossible(ProcessExecutor):
    name = "sandbox"

    def why_not(self) -> str:
        return "the moon is full"


def test_auto_takes_the_sandbox_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SandboxExecutor, "why_not", lambda self: "")
    executor, sentence = table.choose("auto")
    assert executor.name == "sandbox"
    assert "sandbox" in sentence


def test_auto_says_why_it_does_not_take_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(table.EXECUTORS, "sandbox", Impossible)
    monkeypatch.setitem(table.EXECUTORS, "container", Impossible)
    executor, sentence = table.choose("auto")
    assert executor.name == "process"
    assert "the moon is full" in sentence


def test_containers_are_better_than_no_isolation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(table.EXECUTORS, "sandbox", Impossible)
    monkeypatch.setattr(ContainerExecutor, "why_not", lambda self: "")
    executor, sentence = table.choose("auto")
    assert executor.name == "container"
    assert "the moon is full" in sentence


def test_an_executor_that_cannot_work_here_is_not_replaced_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(table.EXECUTORS, "sandbox", Impossible)
    with pytest.raises(Unavailable, match="sandbox does not work here: the moon is full"):
        table.choose("sandbox")


def test_an_unknown_executor_is_answered_with_the_known_ones() -> None:
    with pytest.raises(Invalid, match="'cloud'") as raised:
        table.choose("cloud")
    assert raised.value.hint == "choose one of auto, sandbox, container, podman, docker, process, dask"
