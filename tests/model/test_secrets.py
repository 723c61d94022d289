"""What is a secret, and what is none: each field is named that is wrong."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runner.errors import Invalid
from local_runner.model.secrets import check_secret, values_of


def secret(**more: Any) -> dict[str, Any]:
    return {"metadata": {"name": "s"}, **more}


def test_values_are_those_of_data_and_over_them_of_string_data() -> None:
    document = secret(data={"a": "MQ==", "b": "Mg\n==\n", "none": ""}, stringData={"b": "zwei", "c.txt": "ä"}, type="Opaque")
    assert check_secret(document) == "s"
    assert values_of(document) == {"a": b"1", "b": b"zwei", "c.txt": "ä".encode(), "none": b""}
    assert values_of(secret(data=None)) == {}


BAD_KEYS = ["", ".", "..", "..data", "a/b", "/tmp/x", "../x", "a b", "a\0", "a\n", "ä", "a" * 254, "a\\b", "a:b"]
BAD_NAMES = ["../../s", "S", "a_b", "-a", "a-", "a..b", ".", "a/b", "a" * 254, "a\n", "ä", 5, ["s"], {"s": 1}]


@pytest.mark.parametrize("key", BAD_KEYS)
@pytest.mark.parametrize("field", ["data", "stringData"])
def test_a_key_that_is_no_name_of_a_file_is_refused(field: str, key: str) -> None:
    with pytest.raises(Invalid, match=r"is no name of a file") as caught:
        check_secret(secret(**{field: {key: "MQ=="}}))
    assert f"{field}[{key}]" in caught.value.message
    with pytest.raises(Invalid):  # also where it becomes a file: a home may hold it from before
        values_of(secret(**{field: {key: "MQ=="}}))


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
def test_a_name_that_is_none_is_refused(name: Any) -> None:
    with pytest.raises(Invalid, match=r"metadata\.name: "):
        check_secret({"metadata": {"name": name}})


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "metadata.name"),
        ({"metadata": "s"}, "metadata.name"),
        ({"metadata": None}, "metadata.name"),
        (secret(kind="ConfigMap"), "kind"),
        (secret(data=[1]), "data"),
        (secret(stringData="x"), "stringData"),
        (secret(data={"k": "not base64!"}), r"data\[k\]"),
        (secret(data={"k": "MQ="}), r"data\[k\]"),
        (secret(data={"k": "ä"}), r"data\[k\]"),
        (secret(data={"k": 5}), r"data\[k\]"),
        (secret(data={"k": None}), r"data\[k\]"),
        (secret(stringData={"k": ["x"]}), r"stringData\[k\]"),
        (secret(stringData={"k": "\ud800"}), r"stringData\[k\]"),
        (secret(stringData={"k": "x" * (1 << 20), "l": "x"}), "data"),
    ],
    ids=str,
)
def test_what_is_no_secret_is_refused_with_the_field(document: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid, match=f"secret: {field}: "):
        check_secret(document)


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.none(), st.lists(st.text()))), st.text())
def test_whatever_is_kept_becomes_files_in_its_own_folder(values: dict[str, Any], name: str) -> None:
    document = {"metadata": {"name": name}, "stringData": values}
    try:
        kept = check_secret(document)
    except Invalid:
        return
    allowed = set(string.ascii_letters + string.digits + "-._")
    assert "/" not in kept
    assert kept not in (".", "..")
    for key in values_of(document):
        assert set(key) <= allowed
        assert key not in ("", ".", "..")
