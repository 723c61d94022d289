"""What clients do with projects, repos, branches, commits and files."""

import io
import tarfile

import pytest

from tests.support.api_client import ApiClient, changes, file
from tests.support.lab import Lab

DATA = {"repo": {"name": "data"}}
MASTER = {"branch": {"repo": {"name": "data"}, "name": "master"}}


@pytest.fixture
def data(client: ApiClient) -> ApiClient:
    client("pfs_v2.API/CreateRepo", **DATA, description="of a test")
    return client


def test_a_repo_is_made_shown_listed_and_deleted(data: ApiClient) -> None:
    shown = data("pfs_v2.API/InspectRepo", **DATA)
    assert shown["repo"] == {"name": "data", "type": "user", "project": {"name": "default"}}
    assert shown["description"] == "of a test"
    assert [info["repo"]["name"] for info in data("pfs_v2.API/ListRepo", type="user")] == ["data"]
    assert data("pfs_v2.API/DeleteRepo", **DATA) == {"deleted": True}
    assert data("pfs_v2.API/ListRepo") == []


def test_repos_are_listed_by_pages(client: ApiClient) -> None:
    for name in ("a", "b", "c"):
        client("pfs_v2.API/CreateRepo", repo={"name": name})
    pages = [client("pfs_v2.API/ListRepo", type="user", page={"page_size": 2, "page_index": index}) for index in range(3)]
    assert [[info["repo"]["name"] for info in page] for page in pages] == [["a", "b"], ["c"], []]


def test_files_that_are_put_are_listed_and_read(data: ApiClient) -> None:
    data.put("data", {"/a": b"one", "b/c": b"two"})
    listed = data("pfs_v2.API/ListFile", file=file("data", "/"))
    assert [(info["file"]["path"], info["file_type"]) for info in listed] == [("/a", "FILE"), ("/b/", "DIR")]
    assert data.get("data", "b/c") == b"two"
    assert data("pfs_v2.API/InspectFile", file=file("data", "/a"))["size_bytes"] == "3"
    assert [info["file"]["path"] for info in data("pfs_v2.API/GlobFile", commit=MASTER, pattern="**c")] == ["/b/c"]


def test_the_infos_of_files_are_what_the_documents_say(lab: Lab, data: ApiClient) -> None:
    """They are written by hand."""
    from local_runner.documents.infos import file_info_document
    from local_runner.model.refs import parse_file

    data.put("data", {"/a": b"x" * 300, "/empty": b""})
    documents = [file_info_document(info) for info in lab.runner.walk_file(parse_file("data@master:/"))]
    assert data("pfs_v2.API/WalkFile", file=file("data", "/")) == documents


def test_pieces_of_one_file_come_as_many_messages(data: ApiClient) -> None:
    pieces = [{"add_file": {"path": "/a", "raw": "YWI="}} for _ in range(1000)]
    data("pfs_v2.API/ModifyFile", [{"set_commit": MASTER}, *pieces])
    assert data.get("data", "/a") == b"ab" * 1000


def test_what_is_added_follows_what_is_there(data: ApiClient) -> None:
    data.put("data", {"/a": b"one "})
    data("pfs_v2.API/ModifyFile", [{"set_commit": MASTER}, {"add_file": {"path": "/a", "raw": "dHdv"}}])
    assert data.get("data", "/a") == b"one two"


def test_a_file_is_copied_and_deleted_in_one_change(data: ApiClient) -> None:
    data.put("data", {"/a": b"one", "/b": b"two"})
    copy = {"copy_file": {"src": file("data", "/a"), "dst": "c"}}
    data("pfs_v2.API/ModifyFile", [{"set_commit": MASTER}, copy, {"delete_file": {"path": "b"}}])
    assert [info["file"]["path"] for info in data("pfs_v2.API/ListFile", file=file("data", "/"))] == ["/a", "/c"]


def test_nothing_is_put_if_one_change_is_wrong(data: ApiClient) -> None:
    requests = [{"set_commit": MASTER}, *changes({"/good": b"1", "/../bad": b"2"})]
    assert data.error("pfs_v2.API/ModifyFile", requests)[0] == "INVALID_ARGUMENT"
    assert data("pfs_v2.API/ListCommit", repo=DATA["repo"]) == []


def test_a_large_file_goes_there_and_back_in_pieces(data: ApiClient) -> None:
    content = bytes(range(256)) * 20_000
    data.put("data", {"/large": content})
    pieces = [piece.value for piece in data.start("pfs_v2.API/GetFile", file=file("data", "/large"))]
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= 1 << 20
    from_there = data("pfs_v2.API/GetFile", file=file("data", "/large"), offset=len(content) - 2)
    assert from_there == ["/v8="]


def test_a_folder_comes_as_an_archive(data: ApiClient) -> None:
    files = {f"/f/{number}": b"x" * number for number in (0, 1, 511, 512, 513)}
    data.put("data", files)
    pieces = data.start("pfs_v2.API/GetFileTAR", file=file("data", "/f"))
    with tarfile.open(fileobj=io.BytesIO(b"".join(piece.value for piece in pieces))) as archive:
        found = {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}  # type: ignore[union-attr]
    assert {f"/{name.lstrip('/')}": content for name, content in found.items()} == files


def test_a_list_of_files_has_bounds(data: ApiClient) -> None:
    data.put("data", {f"/{name}": b"" for name in "abcde"})

    def paths(**bounds: object) -> str:
        return "".join(info["file"]["path"][1:] for info in data("pfs_v2.API/ListFile", file=file("data", "/"), **bounds))

    assert paths(number=2) == "ab"
    assert paths(number=2, paginationMarker=file("data", "/b")) == "cd"
    assert paths(number=2, reverse=True) == "ed"
    assert paths(number=9, reverse=True, paginationMarker=file("data", "/c")) == "ba"


def test_two_commits_are_compared(data: ApiClient) -> None:
    data.put("data", {"/a": b"one", "/same": b""})
    data.put("data", {"/a": b"two"})
    found = data("pfs_v2.API/DiffFile", new_file=file("data", "/"))
    assert [sorted(pair) for pair in found] == [["new_file", "old_file"]] * 2
    assert [pair["new_file"]["file"]["path"] for pair in found] == ["/", "/a"]


def test_a_commit_is_started_filled_and_finished(data: ApiClient) -> None:
    started = data("pfs_v2.API/StartCommit", branch=MASTER["branch"])
    assert set(started) == {"repo", "id"}
    data("pfs_v2.API/ModifyFile", [{"set_commit": started}, *changes({"/a": b"1"})])
    assert "finished" not in data("pfs_v2.API/InspectCommit", commit=started)
    data("pfs_v2.API/FinishCommit", commit=started, description="done")
    info = data("pfs_v2.API/InspectCommit", commit=MASTER, wait="FINISHED")
    assert (info["commit"]["id"], info["description"], info["details"]["size_bytes"]) == (started["id"], "done", "1")


def test_a_commit_may_be_named_by_its_branch_where_the_id_stands(data: ApiClient) -> None:
    data.put("data", {"/a": b"1"})
    data.put("data", {"/a": b"22"})
    head = data("pfs_v2.API/InspectCommit", commit=MASTER)
    by_name = data("pfs_v2.API/InspectCommit", commit={"repo": DATA["repo"], "id": "master"})
    parent = data("pfs_v2.API/InspectCommit", commit={"repo": DATA["repo"], "id": f"{head['commit']['id']}^"})
    assert by_name == head
    assert parent["commit"]["id"] == head["parent_commit"]["id"]


def test_clients_of_before_2_6_find_the_branch_in_a_commit(data: ApiClient, server: object) -> None:
    import grpc

    old = data.within()
    old._channel = grpc.insecure_channel(f"127.0.0.1:{data._port}", options=[("grpc.primary_user_agent", "python-pachyderm")])
    started = old("pfs_v2.API/StartCommit", branch=MASTER["branch"])
    assert started["branch"]["name"] == "master"
    assert old("pfs_v2.API/InspectCommit", commit=started)["commit"]["branch"]["name"] == "master"
    assert "branch" not in data("pfs_v2.API/InspectCommit", commit=started)["commit"]
    old.close()


@pytest.mark.parametrize(
    ("call", "request_", "code", "text"),
    [
        ("InspectRepo", {"repo": {"name": "none"}}, "NOT_FOUND", "repo default/none not found"),
        ("InspectBranch", {"branch": {"repo": {"name": "none"}, "name": "b"}}, "NOT_FOUND", 'branch "b" not found in repo default/none'),
        ("InspectBranch", {"branch": {"repo": {"name": "data"}, "name": "b"}}, "NOT_FOUND", 'branch "b" not found in repo default/data'),
        ("InspectFile", {"file": file("none", "/a")}, "NOT_FOUND", 'branch "master" not found in repo default/none'),
        ("InspectProject", {"project": {"name": "none"}}, "NOT_FOUND", 'project "none" not found'),
        ("CreateRepo", {"repo": {"name": "data"}}, "ALREADY_EXISTS", "repo default/data already exists"),
        ("CreateRepo", {"repo": {"name": "a b"}}, "INVALID_ARGUMENT", "name (a b) invalid"),
        ("CreateRepo", {}, "INVALID_ARGUMENT", "validate request: invalid CreateRepoRequest.Repo: value is required"),
        ("ActivateAuth", {}, "UNIMPLEMENTED", "the auth service is not activated"),
    ],
)
def test_errors_have_the_codes_and_texts_that_clients_match(
    data: ApiClient, call: str, request_: dict[str, object], code: str, text: str
) -> None:
    if call == "ActivateAuth":
        import grpc

        unknown = data._channel.unary_unary("/pfs_v2.API/ActivateAuth")
        with pytest.raises(grpc.RpcError) as caught:
            unknown(b"")
        assert (caught.value.code().name, caught.value.details()) == (code, text)  # type: ignore[attr-defined]
        return
    found = data.error(f"pfs_v2.API/{call}", **request_)
    assert found[0] == code
    assert found[1].startswith(text)


def test_a_missing_file_is_named_with_repo_and_commit(data: ApiClient) -> None:
    """`path_exists` of python-pachyderm goes by this text."""
    data.put("data", {"/a": b"1"})
    id = data("pfs_v2.API/InspectCommit", commit=MASTER)["commit"]["id"]
    code, text = data.error("pfs_v2.API/InspectFile", file=file("data", "/none"))
    assert (code, text) == ("NOT_FOUND", f"file /none not found in repo default/data at commit {id}")


def test_projects_and_branches_with_their_provenance(client: ApiClient) -> None:
    client("pfs_v2.API/CreateProject", project={"name": "lab"}, description="of a test")
    repo = {"name": "data", "project": {"name": "lab"}}
    for name in ("data", "out"):
        client("pfs_v2.API/CreateRepo", repo={**repo, "name": name})
    source, below = {"repo": {**repo, "type": "user"}, "name": "master"}, {"repo": {**repo, "name": "out"}, "name": "master"}
    never = [{"branch": source, "propagation_spec": {"never": True}}]
    client("pfs_v2.API/CreateBranch", branch=source)
    client("pfs_v2.API/CreateBranch", branch=below, provenance=[source], branch_propagation_specs=never)
    info = client("pfs_v2.API/InspectBranch", branch=below)
    assert info["direct_provenance"] == [source]
    assert info["branch_propagation_specs"] == never
    walked = client("pfs_v2.API/WalkBranchProvenance", start=[{"name": _picked("lab", "out")}])
    assert [found["branch"]["repo"]["name"] for found in walked] == ["data"]


def _picked(project: str, repo: str) -> dict[str, object]:
    return {"repo": {"name": {"project": {"name": project}, "name": repo}}, "name": "master"}


def test_a_file_below_a_file_is_an_error_to_those_who_look(data: ApiClient) -> None:
    """As it is to those who finish the commit; each of the two can be read."""
    data("pfs_v2.API/StartCommit", **MASTER)
    data.put("data", {"/a": b"file", "/a/a": b"below"})
    for call in ("WalkFile", "ListFile", "InspectFile"):
        assert data.error(f"pfs_v2.API/{call}", file=file("data", "/"))[1].startswith("file / directory path collision (/a/a)")
    assert data.error("pfs_v2.API/GlobFile", commit=MASTER, pattern="**")[0] == "UNKNOWN"
    assert data.get("data", "/a") == b"file"
    data("pfs_v2.API/ModifyFile", [{"set_commit": MASTER}, {"delete_file": {"path": "/a"}}])
    assert [info["file"]["path"] for info in data("pfs_v2.API/WalkFile", file=file("data", "/"))] == ["/", "/a/", "/a/a"]


def test_a_project_with_repos_stays_even_by_force(client: ApiClient) -> None:
    repo = {"name": "data", "project": {"name": "lab"}}
    client("pfs_v2.API/CreateProject", project={"name": "lab"})
    client("pfs_v2.API/CreateRepo", repo=repo)
    for force in (False, True):
        code, text = client.error("pfs_v2.API/DeleteProject", project={"name": "lab"}, force=force)
        assert (code, text.partition(" (")[0]) == ("FAILED_PRECONDITION", "cannot delete project lab: repo lab/data still exists")
    client("pfs_v2.API/DeleteRepo", repo=repo)
    client("pfs_v2.API/DeleteProject", project={"name": "lab"})
