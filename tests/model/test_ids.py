"""Ids and hashes of datums, folders and commits: the values a cluster makes (reference pps 2.1, 1.6; pfs 1.8)."""

import base64

import pytest

from local_runner.model.file_hash import file_hash
from local_runner.model.ids import datum_hash, datum_id, digest, directory_hash, new_id
from local_runner.model.names import is_id

A = "71b0f91cf27fe4b4a526c949ac2d4ae410d06d651e90bf9ec968d410579450c9"
D = "0877b23955a0765b4b145c08e76aa787c60496869cbc0e3cc7c69d6a8e59fddc"
SALT = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("inputs", "identity"),
    [
        ([("images", "images", "master", "/liberty.jpg")], "cef4a52be60465b328ea783037b6c46531ad7cc9f4e190f9c0e548f473cd1fd1"),
        ([("images", "images", "master", "/kitten.jpg")], "3c726887e69fb82e628366072e57087868f7f42b29613ac50ffaa692e5a78d5c"),
        ([("images", "images", "master", "/robot.jpg")], "e33c4bba9e27ca672857829d3f6b2e33f2901827e958060f3ba0b0bc584d6c8a"),
        (
            [("images", "images", "master", "/"), ("edges", "edges", "master", "/")],
            "2f83ae6f5460c07c2f6210385d16edcd47ab2ece3ba1d4c8e763708d1efaffd5",
        ),
        ([("data", "data", "master", "/a")], A),
        ([("data", "data", "master", "/d/")], D),
    ],
)
def test_the_id_of_a_datum_is_made_of_name_repo_branch_and_path(inputs, identity) -> None:
    assert datum_id(inputs) == identity


def test_lengths_keep_the_fields_of_an_id_apart() -> None:
    assert datum_id([("ab", "c", "m", "/p")]) != datum_id([("a", "bc", "m", "/p")])


def test_the_length_of_a_field_is_counted_in_bytes() -> None:
    assert (
        datum_id([("é", "r", "m", "/p")])
        == digest(b"".join((b"\xc3\xa9", _length(2), b"r", _length(1), b"m", _length(1), b"/p", _length(2)))).hex()
    )


def _length(count: int) -> bytes:
    return count.to_bytes(8, "big")


def test_the_hash_of_a_datum_adds_content_and_salt_to_its_id() -> None:
    assert datum_hash(A, [file_hash(b"foo")], SALT) == "8a5c0986341b6c4e01801f1fc6cd9a0dd8ba69846d1e7dfb1f773b8570f19886"


def test_the_hash_of_a_folder_is_made_of_its_childrens_hashes() -> None:
    folder = directory_hash([file_hash(b"foo"), file_hash(b"bar")])
    assert folder.hex() == "b9b2fc1b2c70b5f6f75a8e4283a754e6438bffbd35c86b1e8ba789d224312fce"
    assert datum_hash(D, [folder], SALT) == "2bff31cd5941aae9f736209d3fc85b063fef8ce59ac492cc9a6fc0587f67923b"


def test_the_hash_of_the_root_is_that_of_a_folder() -> None:
    numbers = [file_hash(f"{i}\n".encode()) for i in sorted(range(100), key=lambda i: f"file{i}")]
    root = directory_hash([directory_hash(numbers), directory_hash([directory_hash(numbers)]), *numbers])
    assert base64.b64encode(root) == b"rvtuWGRScEP1P7P7bpREM7IWn2A5nz6XlsryrDTg3J0="


def test_new_ids_are_uuids_of_version_four_and_differ() -> None:
    ids = {new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(map(is_id, ids))
