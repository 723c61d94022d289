"""A transaction belongs to the calls that name it, and to no others."""

from tests.support.api_client import ApiClient
from tests.support.lab import Lab

MASTER = {"repo": {"name": "data", "type": "user", "project": {"name": "default"}}, "name": "master"}


def begun(client: ApiClient) -> tuple[ApiClient, str]:
    id = client("transaction_v2.API/StartTransaction")["id"]
    return client.within(pach_transaction=id), id


def names(client: ApiClient) -> list[str]:
    return [info["repo"]["name"] for info in client("pfs_v2.API/ListRepo")]


def test_what_is_called_in_a_transaction_is_done_when_it_is_finished(client: ApiClient) -> None:
    inside, id = begun(client)
    inside("pfs_v2.API/CreateRepo", repo={"name": "data"})
    started = inside("pfs_v2.API/StartCommit", branch=MASTER)
    client("pfs_v2.API/CreateRepo", repo={"name": "other"})  # another client, at once
    assert names(client) == ["other"]
    info = client("transaction_v2.API/FinishTransaction", transaction={"id": id})
    assert names(client) == ["data", "other"]
    assert [list(request) for request in info["requests"]] == [["create_repo"], ["start_commit"]]
    assert info["responses"][1]["commit"]["id"] == started["id"] == id
    inside.close()


def test_two_transactions_do_not_know_of_each_other(client: ApiClient) -> None:
    (first, one), (second, two) = begun(client), begun(client)
    first("pfs_v2.API/CreateRepo", repo={"name": "a"})
    second("pfs_v2.API/CreateRepo", repo={"name": "b"})
    listed = client("transaction_v2.API/ListTransaction")["transaction_info"]
    assert {info["transaction"]["id"]: info["requests"][0]["create_repo"]["repo"]["name"] for info in listed} == {one: "a", two: "b"}
    client("transaction_v2.API/DeleteTransaction", transaction={"id": one})
    client("transaction_v2.API/FinishTransaction", transaction={"id": two})
    assert names(client) == ["b"]
    first.close(), second.close()


def test_an_error_within_comes_at_once_and_is_no_part_of_it(client: ApiClient) -> None:
    inside, id = begun(client)
    inside("pfs_v2.API/CreateRepo", repo={"name": "a"})
    assert inside.error("pfs_v2.API/CreateRepo", repo={"name": "a"})[0] == "ALREADY_EXISTS"
    assert len(client("transaction_v2.API/FinishTransaction", transaction={"id": id})["requests"]) == 1
    inside.close()


def test_a_transaction_that_is_not_there_is_an_error(client: ApiClient) -> None:
    lost = client.within(pach_transaction="0" * 32)
    assert lost.error("pfs_v2.API/CreateRepo", repo={"name": "a"})[0] == "NOT_FOUND"
    assert client.error("transaction_v2.API/FinishTransaction", transaction={"id": "0" * 32})[0] == "NOT_FOUND"
    assert client.error("transaction_v2.API/FinishTransaction")[0] == "INVALID_ARGUMENT"
    lost.close()


def test_the_active_transaction_of_the_commands_is_none_of_a_client_s(lab: Lab, client: ApiClient) -> None:
    lab.runner.start_transaction()
    client("pfs_v2.API/CreateRepo", repo={"name": "a"})
    assert names(client) == ["a"]


def test_a_batch_is_done_as_a_whole_or_not_at_all(client: ApiClient) -> None:
    create = {"create_repo": {"repo": {"name": "data"}}}
    done = client("transaction_v2.API/BatchTransaction", requests=[create, {"start_commit": {"branch": MASTER}}])
    assert done["responses"][1]["commit"]["id"] == done["transaction"]["id"]
    other = {"create_repo": {"repo": {"name": "b"}}}
    assert client.error("transaction_v2.API/BatchTransaction", requests=[other, create])[0] == "ALREADY_EXISTS"
    assert names(client) == ["data"]
    assert client("transaction_v2.API/ListTransaction") == {}
