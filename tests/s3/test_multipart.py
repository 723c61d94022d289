"""Objects in parts: only what is complete is ever an object."""

from __future__ import annotations

import io
import os

import pytest

from local_runner.s3.server import UPLOADS, serve_s3
from tests.s3.conftest import Gateway

PART = 5 * 1024 * 1024


@pytest.fixture
def ready(gateway: Gateway) -> Gateway:
    gateway.lab.put("data@master", {"/there": "1"})
    return gateway


def test_parts_become_one_object_in_their_order(ready: Gateway) -> None:
    client, content = ready.client(), os.urandom(2 * PART + 12345)
    id = client.create_multipart_upload(Bucket="data", Key="big")["UploadId"]
    parts = []
    for number in (3, 1, 2):
        piece = content[(number - 1) * PART : number * PART]
        tag = client.upload_part(Bucket="data", Key="big", UploadId=id, PartNumber=number, Body=piece)["ETag"]
        parts.append({"PartNumber": number, "ETag": tag})
    assert ready.lab.files("data@master") == {"/there": "1"}
    assert [part["Size"] for part in client.list_parts(Bucket="data", Key="big", UploadId=id)["Parts"]] == [PART, PART, 12345]
    assert [upload["Key"] for upload in client.list_multipart_uploads(Bucket="data")["Uploads"]] == ["big"]

    wanted = {"Parts": sorted(parts, key=lambda part: part["PartNumber"])}
    done = client.complete_multipart_upload(Bucket="data", Key="big", UploadId=id, MultipartUpload=wanted)
    again = client.complete_multipart_upload(Bucket="data", Key="big", UploadId=id, MultipartUpload=wanted)
    assert done["ETag"] == again["ETag"] == client.head_object(Bucket="data", Key="big")["ETag"]
    assert client.get_object(Bucket="data", Key="big")["Body"].read() == content
    assert "Uploads" not in client.list_multipart_uploads(Bucket="data")
    assert list((ready.lab.runner.home / UPLOADS).iterdir()) == []


def test_a_client_that_cuts_files_itself_gets_them_back(ready: Gateway) -> None:
    client, content = ready.client(), os.urandom(9 * 1024 * 1024)
    client.upload_fileobj(io.BytesIO(content), "data", "big")
    client.copy({"Bucket": "data", "Key": "big"}, "data", "copied")  # part by part, too
    found = io.BytesIO()
    client.download_fileobj("data", "copied", found)
    assert found.getvalue() == content


@pytest.mark.parametrize(
    ("chosen", "code"),
    [
        ([(1, "tag"), (2, "tag")], "EntityTooSmall"),
        ([(2, "tag"), (1, "tag")], "InvalidPartOrder"),
        ([(1, "tag"), (1, "tag")], "InvalidPartOrder"),
        ([(1, "other")], "InvalidPart"),
        ([(7, "tag")], "InvalidPart"),
        ([], "MalformedXML"),
    ],
)
def test_parts_that_do_not_fit_leave_everything_as_it_is(ready: Gateway, chosen: list[tuple[int, str]], code: str) -> None:
    client = ready.client()
    id = client.create_multipart_upload(Bucket="data", Key="k")["UploadId"]
    for number in (1, 2):
        tag = client.upload_part(Bucket="data", Key="k", UploadId=id, PartNumber=number, Body=b"x")["ETag"]
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{tag if which == 'tag' else '0' * 32}</ETag></Part>" for number, which in chosen
    )
    answer = ready.ask("POST", f"/data/k?uploadId={id}", f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>")
    assert answer.code == code
    assert ready.lab.files("data@master") == {"/there": "1"}
    assert len(client.list_parts(Bucket="data", Key="k", UploadId=id)["Parts"]) == 2


def test_a_part_that_comes_again_takes_the_place_of_the_first(ready: Gateway) -> None:
    client = ready.client()
    id = client.create_multipart_upload(Bucket="data", Key="k")["UploadId"]
    for content in (b"first", b"second"):
        tag = client.upload_part(Bucket="data", Key="k", UploadId=id, PartNumber=1, Body=content)["ETag"]
    client.complete_multipart_upload(Bucket="data", Key="k", UploadId=id, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag}]})
    assert ready.lab.files("data@master")["/k"] == "second"


def test_who_gives_up_leaves_nothing(ready: Gateway) -> None:
    client = ready.client()
    id = client.create_multipart_upload(Bucket="data", Key="k")["UploadId"]
    client.upload_part(Bucket="data", Key="k", UploadId=id, PartNumber=1, Body=b"x")
    client.abort_multipart_upload(Bucket="data", Key="k", UploadId=id)
    assert list((ready.lab.runner.home / UPLOADS).iterdir()) == []
    for method, query in (("PUT", f"partNumber=1&uploadId={id}"), ("GET", f"uploadId={id}"), ("DELETE", f"uploadId={id}")):
        assert ready.ask(method, f"/data/k?{query}", b"x" if method == "PUT" else None).code == "NoSuchUpload"
    assert ready.ask("GET", "/data/k?uploadId=../../etc").code == "NoSuchUpload"


def test_a_part_that_breaks_off_is_none(ready: Gateway) -> None:
    client = ready.client()
    id = client.create_multipart_upload(Bucket="data", Key="k")["UploadId"]
    head = f"PUT /data/k?partNumber=1&uploadId={id} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
    assert ready.say(head.encode(), b"x" * 70_000).code == "IncompleteBody"
    assert "Parts" not in client.list_parts(Bucket="data", Key="k", UploadId=id)
    assert len(os.listdir(ready.lab.runner.home / UPLOADS / id)) == 1


def test_an_upload_goes_on_with_the_next_gateway_and_not_after_a_week(ready: Gateway) -> None:
    id = ready.client().create_multipart_upload(Bucket="data", Key="k")["UploadId"]
    with serve_s3(ready.lab.runner, ("127.0.0.1", 0)):
        assert [upload["UploadId"] for upload in ready.client().list_multipart_uploads(Bucket="data")["Uploads"]] == [id]
    about = ready.lab.runner.home / UPLOADS / id / "about.json"
    about.write_text(about.read_text().replace('"started": 1', '"started": 0.1'))
    with serve_s3(ready.lab.runner, ("127.0.0.1", 0)):
        assert "Uploads" not in ready.client().list_multipart_uploads(Bucket="data")


def test_uploads_and_parts_come_in_pages(ready: Gateway) -> None:
    client = ready.client()
    for key in ("a", "a", "b"):
        id = client.create_multipart_upload(Bucket="data", Key=key)["UploadId"]
    pages = client.get_paginator("list_multipart_uploads").paginate(Bucket="data", PaginationConfig={"PageSize": 1})
    assert [upload["Key"] for page in pages for upload in page["Uploads"]] == ["a", "a", "b"]
    for number in (1, 2, 9):
        client.upload_part(Bucket="data", Key="b", UploadId=id, PartNumber=number, Body=b"x")
    parts = client.get_paginator("list_parts").paginate(Bucket="data", Key="b", UploadId=id, PaginationConfig={"PageSize": 1})
    assert [part["PartNumber"] for page in parts for part in page["Parts"]] == [1, 2, 9]


def test_paths_that_no_file_can_have_are_refused_before_the_parts(ready: Gateway) -> None:
    assert ready.ask("POST", "/data/a*b?uploads", b"").code == "InvalidFilePath"
    assert ready.ask("PUT", "/data/k?partNumber=0&uploadId=x", b"").code == "NoSuchUpload"
