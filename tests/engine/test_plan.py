"""Plans decide and touch nothing."""

from hypothesis import given
from hypothesis import strategies as st

from local_runner.model.datums import Datum, DatumState, InputFile, make_datum
from local_runner.model.ids import digest
from local_runner.model.inputs import Pfs
from local_runner.pipelines.datum_index import DatumRecord
from local_runner.planning.plan import CHANGED, EVERY_JOB, NEW, OTHER_SALT, RECOVERED, UNCHANGED, Action, plan_job

SALT = "0" * 32
DATA = Pfs(repo="data", name="data", glob="/*")


def datum(path: str, content: str = "1", index: int = 0) -> Datum:
    return make_datum([InputFile(DATA, "c", path, digest(content.encode()), 1)], index)


def mark(of: Datum, state: DatumState = DatumState.PROCESSED, salt: str = SALT) -> DatumRecord:
    return DatumRecord(bytes.fromhex(of.hash(salt)), state, b"\1" * 16)


def reasons(wanted: list[Datum], base: dict[str, DatumRecord], **options: bool) -> list[tuple[str, Action, str]]:
    return [(step.id, step.verb, step.reason) for step in plan_job(wanted, base, SALT, **options).steps()]


def test_a_datum_nobody_saw_before_is_new() -> None:
    a = datum("/a")
    assert reasons([a], {}) == [(a.id, Action.RUN, NEW)]


def test_a_datum_that_succeeded_with_the_same_files_is_reused() -> None:
    a = datum("/a")
    assert reasons([a], {a.id: mark(a)}) == [(a.id, Action.REUSE, UNCHANGED)]


def test_a_datum_whose_file_changed_runs_again() -> None:
    a = datum("/a", "2")
    assert reasons([a], {a.id: mark(datum("/a", "1"))}) == [(a.id, Action.RUN, CHANGED)]


def test_a_datum_whose_files_are_gone_is_removed() -> None:
    a = datum("/a")
    assert [step[:2] for step in reasons([], {a.id: mark(a)})] == [(a.id, Action.REMOVE)]


def test_a_recovered_datum_is_never_reused() -> None:
    a = datum("/a")
    assert reasons([a], {a.id: mark(a, DatumState.RECOVERED)}) == [(a.id, Action.RUN, RECOVERED)]


def test_another_salt_runs_everything_again_and_says_why() -> None:
    a = datum("/a")
    assert reasons([a], {a.id: mark(a, salt="other")}, old_salt=True) == [(a.id, Action.RUN, OTHER_SALT)]


def test_every_job_means_every_datum() -> None:
    a, b = datum("/a"), datum("/b")
    found = reasons([a, b], {a.id: mark(a)}, every_job=True)
    assert found == [(b.id, Action.RUN, NEW), (a.id, Action.RUN, EVERY_JOB)]


@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from("12")), st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from("12"))
)
def test_every_datum_of_then_and_now_has_exactly_one_step(then: dict[str, str], now: dict[str, str]) -> None:
    base = {d.id: mark(d) for d in (datum(f"/{name}", content) for name, content in then.items())}
    wanted = [datum(f"/{name}", content, index) for index, (name, content) in enumerate(now.items())]
    plan = plan_job(wanted, base, SALT)
    steps = list(plan.steps())
    assert sorted(step.id for step in steps) == sorted(base.keys() | {d.id for d in wanted})
    assert plan.total == len(now)
    assert {d.id for d in plan.new} == {d.id for d in wanted} - base.keys()
    assert [d.index for d in plan.new] == sorted(d.index for d in plan.new)
