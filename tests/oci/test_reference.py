from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runner.errors import Invalid
from local_runner.oci.reference import Reference, parse_reference

_HEX = "a" * 64
_PARTS = st.from_regex(r"[a-z0-9]{1,8}((\.|_|__|-)[a-z0-9]{1,4}){0,2}", fullmatch=True)
_HOSTS = st.one_of(st.just("docker.io"), st.just("localhost"), st.from_regex(r"[a-z]{1,5}\.[a-z]{2,3}(:[1-9][0-9]{0,3})?", fullmatch=True))


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("python", "docker.io/library/python:latest"),
        ("python:3.12", "docker.io/library/python:3.12"),
        ("acme/scan", "docker.io/acme/scan:latest"),
        ("docker.io/python:3", "docker.io/library/python:3"),
        ("index.docker.io/acme/scan:1", "docker.io/acme/scan:1"),
        ("localhost/scan", "localhost/scan:latest"),
        ("localhost:5000/a/b/c:x", "localhost:5000/a/b/c:x"),
        ("gcr.io/x/y:3", "gcr.io/x/y:3"),
        ("Registry/scan:1", "Registry/scan:1"),
        ("[::1]:5000/scan:1", "[::1]:5000/scan:1"),
        (f"acme/scan@sha256:{_HEX}", f"docker.io/acme/scan@sha256:{_HEX}"),
        (f"acme/scan:1@sha256:{_HEX}", f"docker.io/acme/scan:1@sha256:{_HEX}"),
    ],
)
def test_a_name_is_read_by_dockers_rules(text: str, whole: str) -> None:
    assert str(parse_reference(text)) == whole


@pytest.mark.parametrize(
    "text",
    [
        "",
        "UPPER",
        "acme/Scan",
        "a//b",
        "/a",
        "a/",
        "a:",
        "a:b:c",
        "a b",
        "a@sha256:1",
        "a@",
        f"a:1@md5:{_HEX[:32]}",
        "a..b",
        "-a",
        "a:.x",
        "x" * 300,
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="no name of an image"):
        parse_reference(text)


@given(
    _HOSTS,
    st.lists(_PARTS, min_size=1, max_size=3),
    st.one_of(st.just(""), st.from_regex(r"[\w][\w.-]{0,5}", fullmatch=True).filter(str.isascii)),
)
def test_what_is_said_of_a_name_leads_back_to_it(host: str, parts: list[str], tag: str) -> None:
    read = parse_reference(f"{host}/{'/'.join(parts)}{':' if tag else ''}{tag}")
    assert parse_reference(str(read)) == read
    assert parse_reference(read.familiar) == read


def test_a_digest_is_what_a_registry_is_asked_for() -> None:
    assert parse_reference(f"scan:1@sha256:{_HEX}").version == f"sha256:{_HEX}"
    assert Reference("docker.io", "library/scan", "1").version == "1"
