"""What a transaction has collected is kept as documents, and comes back as the same verbs."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runner.errors import Unavailable, Unsupported
from local_runner.model.refs import Ancestry, BranchRef, CommitQuery, JobRef, PipelineRef, RepoRef
from local_runner.model.repos import Trigger
from local_runner.pipelines import verbs
from local_runner.pipelines.pipelines import PipelineRequest
from local_runner.pipelines.transactions import from_document, to_document
from tests.support.lab import Lab

word = st.text(max_size=4)
repo = st.builds(RepoRef, word, word, word)
branch = st.builds(BranchRef, repo, word)
commit = st.builds(CommitQuery, repo, word, word, st.builds(Ancestry, st.none() | st.integers(), st.integers()))
trigger = st.none() | st.builds(Trigger, word, st.booleans(), word, word, st.integers(), word)
branches = st.lists(branch, max_size=2).map(tuple)
document = st.dictionaries(word, st.none() | st.integers() | word | st.lists(word), max_size=3)
VERBS = st.one_of(
    st.builds(verbs.CreateRepo, repo, word, st.booleans()),
    st.builds(verbs.DeleteRepo, repo, st.booleans()),
    st.builds(verbs.CreateBranch, branch, st.none() | commit, branches, trigger, branches),
    st.builds(verbs.DeleteBranch, branch, st.booleans()),
    st.builds(verbs.StartCommit, branch, st.none() | commit, word),
    st.builds(verbs.FinishCommit, commit, word, word, st.booleans()),
    st.builds(verbs.SquashCommitSet, word),
    st.builds(verbs.DropCommitSet, word),
    st.builds(verbs.RemoveCommit, commit, st.booleans(), st.booleans()),
    st.builds(verbs.StopJob, st.builds(JobRef, st.builds(PipelineRef, word, word), word), word),
    st.builds(verbs.CreatePipeline, st.builds(PipelineRequest, document, word, st.booleans(), st.booleans(), word)),
)


@given(VERBS)
def test_a_verb_comes_back_as_it_was(verb: verbs.Verb[object]) -> None:
    assert from_document(json.loads(json.dumps(to_document(verb)))) == verb


def test_a_verb_of_a_former_version_lacks_what_it_did_not_know() -> None:
    kept = {"verb": "create_branch", "arguments": {"branch": [["p", "r", "user"], "b"], "head": None, "provenance": [], "trigger": None}}
    assert from_document(kept) == verbs.CreateBranch(BranchRef(RepoRef("p", "r"), "b"))


def test_what_cannot_be_part_of_a_transaction_is_named() -> None:
    with pytest.raises(Unsupported, match="fly cannot be part of a transaction"):
        from_document({"verb": "fly", "arguments": {}})


@pytest.mark.parametrize("kept", ['{"verb": "create_repo", "arguments": {"repo": 3}}', '{"verb": "stop_job"}', "7"])
def test_a_damaged_request_is_said_to_be_one(lab: Lab, kept: str) -> None:
    id = lab.runner.begin_transaction()
    with lab.runner.database.write() as session:
        session.connection.execute("UPDATE pending SET requests = ?", (f"[{kept}]",))
    with pytest.raises(Unavailable, match=f"the records are damaged: a request of transaction {id} cannot be read"):
        lab.runner.inspect_transaction(id)
