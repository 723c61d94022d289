"""`edit metadata`, and where what it attached is shown."""

import pytest

from tests.cli.conftest import Pachctl


@pytest.fixture
def data(pachctl: Pachctl) -> Pachctl:
    pachctl.ok("create repo data")
    return pachctl


def shown(pachctl: Pachctl) -> dict[str, str]:
    found: dict[str, str] = pachctl.ok("inspect repo data --raw").document.get("metadata", {})
    return found


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("a=1", {"a": "1"}),
        ("a=", {"a": ""}),
        ("a=1;b=2", {"a": "1", "b": "2"}),
        (' "a \\"key\\"" = \'=;{}\' ; b=2;', {'a "key"': "=;{}", "b": "2"}),
        ('{"a": "1", "b": "x=y"}', {"a": "1", "b": "x=y"}),
        ("", {}),
        ("♁=🌎", {"♁": "🌎"}),
    ],
)
def test_pairs_are_written_as_for_pachctl(data: Pachctl, text: str, pairs: dict[str, str]) -> None:
    data.ok("edit metadata", "repo", "data", "replace", text)
    assert shown(data) == pairs


def test_several_edits_are_one_change(data: Pachctl) -> None:
    data.ok("put file data@master:/a", stdin="1")
    data.ok("edit metadata repo data add a=1 commit data@master add b=2 branch data@master edit c=3 project default edit d=4")
    assert shown(data) == {"a": "1"}
    assert data.ok("inspect commit data@master --raw").document["metadata"] == {"b": "2"}
    assert data.ok("inspect branch data@master --raw").document["metadata"] == {"c": "3"}
    assert data.ok("inspect project default --raw").document["metadata"] == {"d": "4"}
    refused = data("edit metadata repo data delete a repo data add b=1 repo none add a=1")
    assert (refused.status, refused.err.splitlines()[0]) == (4, "apply edits: edit #2: repo default/none not found")
    assert shown(data) == {"a": "1"}


@pytest.mark.parametrize(
    "edit",
    [
        "repo data",
        "thing data add a=1",
        "repo data set a=1",
        "repo data add a",
        "repo data add =1",
        "repo data add a=1;b=2",
        "repo data replace {",
        "repo data replace a=1;a=2",
        "repo data replace '{\"a\": 1}'",
        "repo data delete ''",
    ],
)
def test_what_is_no_edit_is_refused(data: Pachctl, edit: str) -> None:
    assert data(f"edit metadata {edit}").status == 2
    assert shown(data) == {}
