import os
from pathlib import Path

import pytest

from local_runner.errors import Unavailable
from local_runner.storage.home import find_home, home_around, homes_near, is_home, open_home


def test_a_home_is_made_where_none_is_and_hides_itself_from_git(home: Path) -> None:
    open_home(home)
    assert (home / ".gitignore").read_text() == "*\n"
    assert (home / "FORMAT").read_text() == "1\n"


def test_a_home_is_opened_again_as_it_is(home: Path) -> None:
    (open_home(home).objects / "something").touch()
    assert (open_home(home).objects / "something").exists()


def test_a_home_that_is_named_from_the_working_folder_is_the_same_from_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_home(Path("here")).path == tmp_path / "here"


def test_a_newer_format_is_refused_with_what_to_do(home: Path) -> None:
    open_home(home)
    (home / "FORMAT").write_text("4\n")
    with pytest.raises(Unavailable, match="format 4, this version knows 1 to 3") as error:
        open_home(home)
    assert "newer local_runner" in error.value.hint


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match=str(tmp_path / "file")):
        open_home(tmp_path / "file" / "home")


def test_the_home_is_found_upward_like_git(tmp_path: Path) -> None:
    deep = tmp_path / "project" / "src" / "deep"
    deep.mkdir(parents=True)
    assert find_home(deep) == deep / ".local_runner"
    (tmp_path / "project" / "local_runner.toml").touch()
    assert find_home(deep) == tmp_path / "project" / ".local_runner"
    (tmp_path / "project" / "src" / ".local_runner").mkdir()
    assert find_home(deep) == tmp_path / "project" / "src" / ".local_runner"


def test_the_environment_has_the_first_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RUNNER_HOME", str(tmp_path / "elsewhere"))
    assert find_home(tmp_path) == tmp_path / "elsewhere"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCAL_RUNNER_HOME", "relative")
    assert find_home() == Path(os.getcwd()) / "relative"


def test_a_home_is_known_by_its_files_under_any_name(tmp_path: Path) -> None:
    home = open_home(tmp_path / "store").path
    (tmp_path / "link").symlink_to(home)
    assert is_home(home)
    assert is_home(tmp_path / "elsewhere" / ".local_runner")
    assert not is_home(tmp_path)
    assert home_around(tmp_path / "link" / "objects" / "x") == home
    assert home_around(tmp_path) is None


def test_homes_below_and_beside_are_found_those_below_first(tmp_path: Path) -> None:
    here = tmp_path / "here"
    for folder in (here / "a" / "deep", here / "b", tmp_path / "beside", here / ".hidden", here / "a" / "deep" / "too"):
        open_home(folder / ".local_runner")
    (here / "link").symlink_to(tmp_path / "beside")
    assert homes_near(here) == [folder / ".local_runner" for folder in (here / "b", here / "a" / "deep", tmp_path / "beside")]
    assert homes_near(tmp_path / "nowhere") == [tmp_path / "beside" / ".local_runner"]


def test_only_so_many_folders_are_looked_at_for_homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local_runner.storage.home._MOST_LOOKED_AT", 3)
    for number in range(5):
        open_home(tmp_path / str(number) / ".local_runner")
    assert len(homes_near(tmp_path)) == 3
