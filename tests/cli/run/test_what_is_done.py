"""`python -m local_runner` does what is asked for and what that needs, and nothing that is done."""

from __future__ import annotations

import os

import pytest

from local_runner.cli.main import main
from tests.cli.run.conftest import PROJECT, Folder, idle


def test_the_first_run_does_everything_and_the_second_says_at_once_that_there_is_nothing_to_do(project: Folder) -> None:
    ended = project()
    assert ended.status == 0
    assert project.ran == ["square: 1", "square: 2", "square: 3", "total: 1 2 3", "upper: hello"]
    assert ended.lines[0] == "PIPELINE RUN REUSED FAILED SECONDS STATE"
    assert "in total:" in ended.lines
    ended = project()
    assert ended.status == 0
    assert project.ran == []
    assert "nothing to do" in ended.err


def test_changes_of_several_repos_and_specs_make_one_job_a_pipeline(project: Folder) -> None:
    project.pipeline(
        "both", "", input={"cross": [{"pfs": {"repo": r, "glob": "/", "name": n}} for r, n in [("words", "in"), ("numbers", "more")]]}
    )
    project()
    project.numbers(1, 2)
    project.write("words.txt", "good bye\n")
    project.pipeline(
        "both", "", input={"cross": [{"pfs": {"repo": r, "glob": "/", "name": n}} for r, n in [("words", "in"), ("square", "more")]]}
    )
    project()
    assert [info.state.word for info in project.jobs("both")] == ["success", "success"]
    assert len({info.job.id for name in ("square", "total", "upper", "both") for info in project.jobs(name)}) == 2


def test_two_branches_of_a_repo_get_their_commits_one_after_the_other(project: Folder) -> None:
    project.write("local_runner.toml", f"{PROJECT}[[repo]]\nname = 'words'\nbranch = 'draft'\nfiles = {{ 'w' = 'words.txt' }}\n")
    ended = project("upper")
    assert ended.status == 0
    assert "words@draft: /w to put" in ended.err
    assert project.text("words@draft:/w") == project.text("words@master:/w") == "hello\n"
    assert project.ran == ["upper: hello"]


def test_quiet_is_quiet_on_standard_error(project: Folder) -> None:
    for flag in ("-q", "-s", "--quiet", "--silent"):
        ended = project(f"run {flag} -B")
        assert ended.err == ""
        assert "in total:" in ended.lines


def test_everything_runs_again_when_that_is_asked_for(project: Folder) -> None:
    project()
    first = project.ran
    ended = project("-B")
    assert project.ran == first
    assert "total: --always-make, so every datum runs again" in ended.err


def test_a_dry_run_runs_nothing_and_makes_no_home(project: Folder) -> None:
    ended = project("-n total")
    assert ended.status == 0
    assert "\nsquare: " in ended.out
    assert "upper" not in ended.out
    assert project.ran == []
    assert not (project.root / ".local_runner").exists()


def test_it_runs_as_if_started_elsewhere(project: Folder, tmp_path_factory: pytest.TempPathFactory) -> None:
    os.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert main(["-C", str(project.root)], idle) == 0
    assert len(project.ran) == 5


def test_where_there_is_no_project_it_says_what_to_do(project: Folder) -> None:
    (project.root / "local_runner.toml").unlink()
    ended = project()
    assert ended.status == 2
    assert "there is no local_runner.toml" in ended.err
    assert "hint: write one" in ended.err


@pytest.mark.parametrize("line", ["run square", "square", "-j 2 square"])
def test_a_target_is_brought_up_to_date_with_what_it_needs_and_nothing_else(project: Folder, line: str) -> None:
    ended = project(line)
    assert ended.status == 0
    assert project.ran == ["square: 1", "square: 2", "square: 3"]
    assert "in square:" in ended.lines
    with project.runner() as runner:
        assert [repo.repo.name for repo in runner.list_repo()] == ["numbers", "square"]


def test_what_is_below_a_target_waits_for_another_run(project: Folder) -> None:
    project()
    project.numbers(4)
    _ = project.ran
    ended = project("square")
    assert project.ran == ["square: 4"]
    assert "left for another run: total" in ended.err
    assert "nothing to do" in project("square").err
    project()
    assert project.ran == ["total: 4"]


def test_a_target_that_is_there_in_the_home_alone_is_known(project: Folder) -> None:
    project()
    (project.root / "total.json").unlink()
    project.numbers(5)
    _ = project.ran
    assert project("run total").status == 0
    assert project.ran == ["square: 5", "total: 5"]


def test_a_target_that_does_not_exist_comes_with_the_nearest_that_does(project: Folder) -> None:
    ended = project("run totl")
    assert ended.status == 4
    assert ended.err.splitlines() == ['there is no pipeline "totl" to bring up to date', "hint: did you mean total?"]
    assert 'unknown command "totl"' in project("totl").err


def test_spec_files_are_brought_up_to_date_and_their_neighbours_left_alone(project: Folder) -> None:
    project("square")
    _ = project.ran
    project.write("words.txt", "good bye\n")
    (project.root / "more").mkdir()
    project.pipeline("sum", "square", file="more/sum.json")
    assert project("-f more/sum.json").status == 0
    assert project.ran == ["sum: 1 2 3"]


def test_spec_files_need_no_project(project: Folder) -> None:
    project()
    (project.root / "local_runner.toml").unlink()
    project.pipeline("sum", "square")
    _ = project.ran
    assert project("-f sum.json").status == 0
    assert project.ran == ["sum: 1 2 3"]


def test_another_project_file_may_be_named(project: Folder) -> None:
    project.write("small.toml", PROJECT.replace("*.json", "upper.json"))
    assert project("run --file small.toml").status == 0
    assert project.ran == ["upper: hello"]


def test_a_file_that_is_not_there_is_named(project: Folder) -> None:
    for command in ("run", "watch"):
        ended = project(f"{command} -f nowhere.json")
        assert ended.status == 4
        assert f"there is no file {project.root}/nowhere.json" in ended.err
