"""File sets: changes that are in no commit yet, through the calls of pfs and of storage, and through the API."""

import base64
import urllib.request
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_runner.errors import Invalid, NotFound
from local_runner.model.refs import FILE_SETS, parse_commit, parse_file
from local_runner.repos.file_changes import FileChanges
from local_runner.s3.server import S3Server, serve_s3
from local_runner.server.listen import Server
from tests.support.api_client import ApiClient, changes, file
from tests.support.lab import Lab

MASTER = {"branch": {"repo": {"name": "data"}, "name": "master"}}


@pytest.fixture
def data(client: ApiClient) -> ApiClient:
    client("pfs_v2.API/CreateRepo", repo={"name": "data"})
    client.put("data", {"/a": b"old"})
    return client


def create(client: ApiClient, files: dict[str, bytes]) -> str:
    """By the service of storage, which adds to files."""
    appended = [{"append_file": {"path": path, "data": base64.b64encode(content).decode()}} for path, content in files.items()]
    found: str = client("storage.Fileset/CreateFileset", appended)["fileset_id"]
    return found


def read(client: ApiClient, id: str, *filters: object, **fields: object) -> dict[str, bytes]:
    answers = client("storage.Fileset/ReadFileset", fileset_id=id, filters=list(filters), **fields)
    found: dict[str, bytes] = {}
    for answer in answers:
        found[answer["path"]] = found.get(answer["path"], b"") + base64.b64decode(answer.get("data", ""))
    return found


def test_what_is_put_into_a_file_set_is_in_the_commit_it_is_added_to(data: ApiClient) -> None:
    made = data("pfs_v2.API/CreateFileSet", [*changes({"/a": b"new", "/b": b"2"})])
    assert data.get("data", "/a") == b"old"
    data("pfs_v2.API/AddFileSet", commit=MASTER, file_set_id=made["file_set_id"])
    assert (data.get("data", "/a"), data.get("data", "/b")) == (b"new", b"2")


def test_what_only_adds_follows_what_is_there(data: ApiClient) -> None:
    data("pfs_v2.API/AddFileSet", commit=MASTER, file_set_id=create(data, {"a": b" and more"}))
    assert data.get("data", "/a") == b"old and more"


def test_the_files_of_a_commit_are_a_file_set_and_so_is_what_it_changed(data: ApiClient) -> None:
    data.put("data", {"/b": b"2"})
    data("pfs_v2.API/StartCommit", branch=MASTER["branch"])
    data.put("data", {"/c": b"3"})
    whole, changed = (data("pfs_v2.API/GetFileSet", commit=MASTER, type=kind)["file_set_id"] for kind in ("TOTAL", "DIFF"))
    assert read(data, whole) == {"/a": b"old", "/b": b"2", "/c": b"3"}
    assert read(data, changed) == {"/c": b"3"}


def test_later_ones_lie_over_earlier_ones(data: ApiClient) -> None:
    first, second = create(data, {"/a": b"1", "/b": b"1"}), create(data, {"/b": b"2"})
    removed = data("storage.Fileset/CreateFileset", [{"delete_file": {"path": "/a"}}])["fileset_id"]
    joined = data("storage.Fileset/ComposeFileset", fileset_ids=[first, second, removed], ttl_seconds=60)["fileset_id"]
    assert read(data, joined) == {"/b": b"12"}
    data("pfs_v2.API/AddFileSet", commit=MASTER, file_set_id=joined)
    assert data("pfs_v2.API/ListFile", file=file("data", "/"))[0]["file"]["path"] == "/b"


def test_files_are_copied_from_one_to_another(data: ApiClient) -> None:
    source = create(data, {"/d/a": b"1", "/d/b": b"2", "/e": b"3"})
    copies = [{"copy_file": {"fileset_id": source, "src": "/d", "dst": "/f"}}, {"copy_file": {"fileset_id": source, "src": "/e"}}]
    assert read(data, data("storage.Fileset/CreateFileset", copies)["fileset_id"]) == {"/f/a": b"1", "/f/b": b"2", "/e": b"3"}


def test_filters_choose_files(data: ApiClient) -> None:
    id = create(data, {"/a": b"1", "/b": b"2", "/c": b""})
    assert read(data, id, {"path_range": {"lower": "/b"}}) == {"/b": b"2", "/c": b""}
    assert read(data, id, {"path_range": {"lower": "/a", "upper": "/c"}}, {"path_regex": "[bc]$"}) == {"/b": b"2"}
    assert read(data, id, empty_files=True) == {"/a": b"", "/b": b"", "/c": b""}
    assert data.error("storage.Fileset/ReadFileset", fileset_id=id, filters=[{"path_regex": "["}])[0] == "INVALID_ARGUMENT"


def test_they_are_cut_into_ranges_of_paths(data: ApiClient) -> None:
    id = create(data, {f"/{n}": b"12345" for n in range(5)})
    ranges = data("storage.Fileset/ShardFileset", fileset_id=id, num_files=2)["shards"]
    assert ranges == [{"upper": "/2"}, {"lower": "/2", "upper": "/4"}, {"lower": "/4"}]
    assert data("pfs_v2.API/ShardFileSet", file_set_id=id, size_bytes=15)["shards"] == [{"upper": "/3"}, {"lower": "/3"}]
    assert data("pfs_v2.API/ShardFileSet", file_set_id=create(data, {}))["shards"] == [{}]
    assert data.error("pfs_v2.API/ShardFileSet", file_set_id=id, num_files=-1)[0] == "INVALID_ARGUMENT"


def test_one_is_gone_when_its_time_is_over(lab: Lab, data: ApiClient) -> None:
    short, kept = create(data, {"/a": b"1"}), create(data, {"/b": b"2" * 100_000})
    data("pfs_v2.API/RenewFileSet", file_set_id=kept, ttl_seconds=1200)
    lab.clock.forward(700)
    assert data.error("storage.Fileset/ReadFileset", fileset_id=short)[0] == "NOT_FOUND"
    assert lab.runner.gc()
    assert read(data, kept) == {"/b": b"2" * 100_000}
    lab.clock.forward(700)
    assert data.error("pfs_v2.API/RenewFileSet", file_set_id=kept, ttl_seconds=60)[0] == "NOT_FOUND"
    assert lab.runner.plan_gc().large.size > 0
    assert lab.runner.fsck() == []


@pytest.mark.parametrize("seconds", [0, -1, 1801])
def test_nothing_is_kept_for_a_time_that_may_not_be(data: ApiClient, seconds: int) -> None:
    assert data.error("storage.Fileset/RenewFileset", fileset_id=create(data, {}), ttl_seconds=seconds)[0] == "INVALID_ARGUMENT"


def test_to_those_who_read_one_is_a_commit(lab: Lab, data: ApiClient) -> None:
    of = f"{FILE_SETS}@{create(data, {'/d/a': b'1'})}"
    assert lab.files(of) == {"/d/a": "1"}
    assert [info.path for info in lab.runner.list_file(parse_file(f"{of}:/"))] == ["/d/"]
    assert lab.runner.inspect_commit(parse_commit(of)).size == 1
    with lab.runner.modify_file(parse_commit("data@master")) as change:
        change.copy(parse_file(f"{of}:/d"), "/copied")
    assert lab.files("data@master") == {"/a": "old", "/copied/a": "1"}
    for verb in (lab.runner.drop_commit, lab.runner.clear_commit, lab.runner.finish_commit):
        with pytest.raises(NotFound):
            verb(parse_commit(of))


def test_what_expects_something_of_a_commit_is_refused(lab: Lab) -> None:
    with pytest.raises(Invalid, match="expects nothing"), lab.runner.create_file_set() as made:
        made.expect("/a", None)


# -- contents by address -----------------------------------------------------------------------------------------------


@pytest.fixture(params=["", "secret"])
def s3(lab: Lab, server: Server, request: pytest.FixtureRequest) -> Iterator[S3Server]:
    with serve_s3(lab.runner, ("127.0.0.1", 0), request.param) as found:
        server.offer(found.address_of)
        yield found


def test_contents_can_be_fetched_by_address_in_chunks_with_their_hashes(data: ApiClient, s3: S3Server) -> None:
    import hashlib

    large = bytes(range(256)) * (9 << 12)
    id = create(data, {"/d/a b": b"one", "/large": large, "/none": b""})
    found = {}
    for answer in data("storage.Fileset/ReadFilesetCDR", fileset_id=id):
        ref = answer["ref"]
        parts = [ref] if "content_hash" in ref else ref["concat"].get("refs", [])
        content = b""
        for part in parts:
            http = part["content_hash"]["inner"]["http"]
            chunk = urllib.request.urlopen(urllib.request.Request(http["url"], headers=http["headers"])).read()
            assert base64.b64decode(part["content_hash"]["hash"]) == hashlib.blake2b(chunk, digest_size=32).digest()
            content += chunk
        found[answer["path"]] = len(parts), content
    assert found == {"/d/a b": (1, b"one"), "/large": (2, large), "/none": (0, b"")}


def test_without_a_gateway_contents_have_no_address(data: ApiClient) -> None:
    code, text = data.error("storage.Fileset/ReadFilesetCDR", fileset_id=create(data, {"/a": b"1"}))
    assert code == "UNIMPLEMENTED"
    assert "serve with --s3-port" in text


# -- the algebra -------------------------------------------------------------------------------------------------------

PATHS = st.sampled_from(["/a", "/b", "/d/a", "/d/b"])
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("put"), PATHS, st.sampled_from([b"x", b"yz"])),
        st.tuples(st.just("append"), PATHS, st.sampled_from([b"x", b"yz"])),
        st.tuples(st.just("delete"), st.sampled_from(["/a", "/b", "/d/", "/d/a"]), st.just(b"")),
    ),
    max_size=5,
)


def do(change: FileChanges, what: tuple[str, str, bytes]) -> None:
    verb, path, content = what
    if verb == "delete":
        change.delete(path)
    else:
        change.put(path, content, append=verb == "append")


@settings(max_examples=40, deadline=None)
@given(before=CHANGES, groups=st.lists(CHANGES, min_size=1, max_size=3))
def test_adding_file_sets_is_making_their_changes_one_after_the_other(
    tmp_path_factory: pytest.TempPathFactory, before: list[tuple[str, str, bytes]], groups: list[list[tuple[str, str, bytes]]]
) -> None:
    lab = Lab(tmp_path_factory.mktemp("home"))
    for repo in ("plain", "added", "joined"):
        lab.put(f"{repo}@master", {})
        with lab.runner.modify_file(parse_commit(f"{repo}@master")) as change:
            for one in before:
                do(change, one)
    ids = []
    for group in groups:
        with lab.runner.modify_file(parse_commit("plain@master")) as change, lab.runner.create_file_set() as made:
            for one in group:
                do(change, one)
                do(made, one)
        ids.append(made.id)
        lab.runner.add_file_set(parse_commit("added@master"), made.id)
    lab.runner.add_file_set(parse_commit("joined@master"), lab.runner.compose_file_set(ids).id)
    plain = lab.files("plain@master")
    assert lab.files("added@master") == lab.files("joined@master") == plain
    ranges = lab.runner.shard_file_set(lab.runner.get_file_set(parse_commit("plain@master")).id, 1)
    assert all(sum(path in one for one in ranges) == 1 for path in (*plain, "/", "/zzz"))
    lab.close()
