"""What people do with pachyderm-sdk, step by step; `test_clients.py` runs it with a Python that has it."""

import sys

from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs, pps

INPUT = pps.Input(pfs=pps.PfsInput(repo="data", glob="/*"))
EDGES = pps.Pipeline(name="edges")


def prepare(client: Client) -> None:
    client.pfs.create_repo(repo=pfs.Repo.from_uri("data"))
    with client.pfs.commit(branch=pfs.Branch.from_uri("data@master")) as commit:
        for name in "abc":
            commit.put_file_from_bytes(path=f"/{name}", data=name.encode())
    with client.transaction.transaction():
        client.pfs.create_repo(repo=pfs.Repo.from_uri("one"))
        client.pfs.create_repo(repo=pfs.Repo.from_uri("two"))
    client.pps.create_pipeline(pipeline=EDGES, input=INPUT, transform=pps.Transform(cmd=["do"]))
    print("prepared")


def look(client: Client) -> None:
    assert sorted(info.repo.name for info in client.pfs.list_repo(type="user")) == ["data", "edges", "one", "two"]
    with client.pfs.pfs_file(pfs.File.from_uri("edges@master:/a")) as file:
        assert file.read() == b"a"
    with client.pfs.pfs_tar_file(pfs.File.from_uri("data@master:/")) as archive:
        assert [member.name for member in archive] == ["a", "b", "c"]
    [job] = client.pps.list_job(pipeline=EDGES)
    assert job.data_processed == 3
    stream = client.pps.generate_datums(input_spec=INPUT, batch_size=2)
    assert (len(next(stream)), len(next(stream))) == (2, 1)
    assert client.pfs.path_exists(pfs.File.from_uri("data@master:/a"))
    assert not client.pfs.path_exists(pfs.File.from_uri("data@master:/none"))
    print("looked")


if __name__ == "__main__":
    {"prepare": prepare, "look": look}[sys.argv[1]](Client(host="127.0.0.1", port=int(sys.argv[2])))
