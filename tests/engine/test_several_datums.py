"""What a job says of several datums does not depend on which of them ended first."""

import os
import threading
import time

from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.jobs import JobState
from tests.support.lab import Lab


def path_of(datum: ScriptedDatum) -> str:
    return datum.env["data"].rpartition("/")[2]


def test_of_several_failed_datums_the_job_names_the_first_whichever_fails_first(lab: Lab) -> None:
    lab.put("data@master", {f"/{name}": name for name in "abcd"})
    lab.pipeline("probe")
    lab.run_all()
    ordered = sorted(lab.runner.list_datum(lab.job("probe").job), key=lambda info: (info.datum.index, info.datum.id))
    names = [info.datum.inputs[0].path.removeprefix("/") for info in ordered]
    first, second = names[0], names[1]
    second_failed = threading.Event()

    def fail(datum: ScriptedDatum) -> int:
        if path_of(datum) == first:
            assert second_failed.wait(60)
            time.sleep(0.3)  # the engine hears of it first
        if path_of(datum) == second:
            second_failed.set()
        return int(path_of(datum) in (first, second))

    lab.pipeline("p", do=fail, datum_tries=1, parallelism_spec={"constant": 2}, datum_set_spec={"number": 1})
    lab.run_all()
    assert lab.state("p") is JobState.FAILURE
    assert lab.counts("p")["failed"] == 2
    named = lab.job("p").reason
    failed = {info.datum.inputs[0].path: info.datum for info in lab.runner.list_datum(lab.job("p").job) if info.state == "failed"}
    assert failed.keys() == {f"/{first}", f"/{second}"}
    assert min(failed.values(), key=lambda datum: (datum.index, datum.id)).id in named


def test_an_input_is_unread_only_if_no_datum_looked_into_it(lab: Lab) -> None:
    lab.put("data@master", {"/a": "1", "/b": "2"})
    lab.put("words@master", {"/w": "3"})
    wanted = {"a": ("data",), "b": ()}  # the inputs that each datum looks into

    def look(datum: ScriptedDatum) -> None:
        for name in wanted[path_of(datum)]:
            os.listdir(datum.worker.pfs / name)

    both = {"cross": [{"pfs": {"repo": "data", "glob": "/*"}}, {"pfs": {"repo": "words", "glob": "/"}}]}
    lab.pipeline("p", both, do=look)
    lab.run_all()
    assert lab.state("p") is JobState.SUCCESS
    assert lab.job("p").unread == ("words",)


def test_a_datum_recovered_once_stays_recovered_when_err_cmd_fails_at_its_last_try(lab: Lab) -> None:
    mends = iter((0, 1))

    def fail(datum: ScriptedDatum) -> int:
        return next(mends) if datum.request.cmd[0] == "mend" else 1

    lab.put("data@master", {"/a": "1"})
    lab.pipeline("p", do=fail, transform={"err_cmd": ["mend"]}, datum_tries=2)
    lab.run_all()
    assert lab.state("p") is JobState.SUCCESS
    assert lab.counts("p") == {"total": 1, "recovered": 1}
