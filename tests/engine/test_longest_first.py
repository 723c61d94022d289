"""Datums that run again are shared out by what they took the last time, the longest first."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from local_runner.executors.scripted import ScriptedDatum
from local_runner.model.datums import Datum
from local_runner.model.jobs import JobState
from local_runner.model.pipelines import PipelineSpec
from local_runner.planning.datum_sets import cut_sets
from local_runner.specs.parse import parse_spec
from tests.support.lab import Lab

FILES: dict[str, str | bytes | None] = {f"/{letter}": "1" for letter in "abcdefgh"}


def a_spec(workers: int) -> PipelineSpec:
    document = {"pipeline": {"name": "p"}, "transform": {"cmd": ["do"]}, "input": {"pfs": {"repo": "data", "glob": "/*"}}}
    return parse_spec({**document, "parallelism_spec": {"constant": workers}}, "default")


def begun(lab: Lab, **fields: object) -> list[str]:
    """In which order datums begin when they run again, of which the last one takes long."""
    order: list[str] = []

    def do(datum: ScriptedDatum) -> None:
        order.append(datum.env["data"])
        time.sleep(0.2 if datum.env["data"].endswith("/h") else 0.005)

    lab.put("data@master", FILES)
    lab.pipeline("p", "data:/*", do, **fields)  # type: ignore[arg-type]
    lab.run_all()
    order.clear()
    lab.pipeline("p", "data:/*", do, update=True, reprocess=True, **fields)  # type: ignore[arg-type]
    lab.run_all()
    assert sorted(order) == sorted(f"/pfs/data{path}" for path in FILES)
    return order


def test_datums_that_run_again_begin_with_the_one_that_took_longest(lab: Lab) -> None:
    assert "/pfs/data/h" in begun(lab, parallelism_spec={"constant": 2})[:2]


def test_one_worker_and_whoever_cuts_sets_keep_the_order_of_a_cluster(lab: Lab) -> None:
    assert begun(lab) == [f"/pfs/data{path}" for path in sorted(FILES)]


def test_sets_that_were_asked_for_are_cut_in_the_order_of_a_cluster(lab: Lab) -> None:
    assert "/pfs/data/h" not in begun(lab, parallelism_spec={"constant": 2}, datum_set_spec={"number": 1})[:4]


def test_a_damaged_document_of_what_a_datum_took_fails_no_job(lab: Lab) -> None:
    lab.put("data@master", FILES)
    lab.pipeline("p", parallelism_spec={"constant": 2})
    lab.run_all()
    with lab.runner.database.write() as session:
        damage = "UPDATE object SET content = X'00' WHERE instr(content, CAST('processTime' AS BLOB))"
        assert session.connection.execute(damage).rowcount == len(FILES)
    lab.put("data@master", dict.fromkeys(FILES, "2"))
    lab.run_all()
    assert (lab.state("p"), lab.job("p").reason) == (JobState.SUCCESS, "")
    assert lab.files("p@master") == dict.fromkeys(FILES, "2")


@given(st.lists(st.one_of(st.none(), st.floats(0.001, 100)), min_size=1, max_size=60), st.integers(2, 8))
def test_sets_hold_each_datum_once_and_none_is_larger_than_its_share_but_a_single_one(took: list[float | None], workers: int) -> None:
    datums = [Datum(str(number), (), number) for number in range(len(took))]
    seconds = {str(number): value for number, value in enumerate(took) if value is not None}
    sets = cut_sets(datums, a_spec(workers), len(datums), seconds)
    assert sorted(datum.index for one in sets for datum in one) == list(range(len(took)))
    if seconds:
        mean = sum(seconds.values()) / len(seconds)
        weights = [sum(seconds.get(datum.id, mean) for datum in one) for one in sets]
        share = sum(weights) / (workers * 4)
        assert all(len(one) == 1 or weight <= share * (1 + 1e-9) for one, weight in zip(sets, weights, strict=True))
        order = [seconds[datum.id] for one in sets for datum in one if datum.id in seconds]
        assert order == sorted(order, reverse=True)
