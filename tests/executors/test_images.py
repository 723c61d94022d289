from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from local_runner.errors import Invalid, WorkFailed
from local_runner.images.build import Buildable, Builder
from local_runner.images.dockerfile import expand
from local_runner.images.folder import ImageSource, code_digest, image_folder, image_notes, read_image
from local_runner.images.requirements import unmet

PYTEST = metadata.version("pytest")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lib/deep").mkdir(parents=True)
    for name in ("train.py", "score.py", "lib/a.py", "lib/deep/b.py"):
        (tmp_path / name).write_text(name)
    (tmp_path / "requirements.txt").write_text("pytest  # runs tests\n-r more.txt\n--hash=x\n")
    (tmp_path / "more.txt").write_text("no-such-package>=1 \\\n  --hash=sha256:1\n")
    return tmp_path


def read(folder: Path, text: str) -> ImageSource:
    (folder / "Dockerfile").write_text(text)
    return read_image(folder)


def code(source: ImageSource) -> dict[str, str]:
    return {target: str(path.relative_to(source.folder)) for target, path in source.code.items()}


@pytest.mark.parametrize("image", ["me/model", "me/model:1.2", "me/model@sha256:0123", "me/model:1@sha256:0123"])
def test_an_image_is_found_by_its_name_without_tag(image: str) -> None:
    assert image_folder(image, {"me/model": Path("images/model")}) == Path("images/model")


def test_the_port_of_a_registry_is_not_a_tag() -> None:
    assert image_folder("localhost:5000/model", {"localhost:5000/model": Path("x")}) == Path("x")
    assert image_folder("localhost:5000/other:3", {"localhost:5000/model": Path("x")}) is None


def test_files_are_where_copy_puts_them(folder: Path) -> None:
    source = read(
        folder,
        """
        FROM python:3.11
        WORKDIR /app
        COPY train.py .
        COPY --chown=1000:1000 train.py score.py /two/
        COPY ["lib", "named lib"]
        ADD lib/*.py /matched/
        WORKDIR sub
        COPY train.py renamed.py
        """,
    )
    assert source.working_dir == "/app/sub"
    assert code(source) == {
        "/app/train.py": "train.py",
        "/two/train.py": "train.py",
        "/two/score.py": "score.py",
        "/app/named lib": "lib",
        "/matched/a.py": "lib/a.py",
        "/app/sub/renamed.py": "train.py",
    }
    assert source.notes == ()


def test_a_folder_is_copied_without_its_name(folder: Path) -> None:
    source = read(folder, "FROM x\nWORKDIR /app\nCOPY . .\n")
    assert code(source) == {"/app": "."}
    assert folder / "lib/deep/b.py" in source.files


def test_two_folders_may_share_a_destination(folder: Path) -> None:
    assert code(read(folder, "FROM x\nCOPY lib /app\nCOPY lib/deep /app\n")) == {"/app": "lib", "/app/b.py": "lib/deep/b.py"}


def test_the_root_folder_takes_the_entries_of_a_folder(folder: Path) -> None:
    assert code(read(folder, "FROM x\nCOPY lib /\n")) == {"/a.py": "lib/a.py", "/deep": "lib/deep"}


def test_lines_may_be_continued_and_commented(folder: Path) -> None:
    source = read(folder, "# syntax=x\nFROM x\nENV A=1 \\\n  # why\n  B='two words' \\\n  C=$A-${D:-three}\nENV E five and six\n")
    assert dict(source.env) == {"A": "1", "B": "two words", "C": "-three", "E": "five and six"}
    assert source.notes == ()


def test_variables_come_from_arguments_the_base_image_and_env(folder: Path) -> None:
    (folder / "Dockerfile").write_text("ARG BASE=python\nFROM $BASE\nARG DIR=app\nENV PATH=/opt/$DIR:$PATH\nWORKDIR /$DIR\n")
    source = read_image(folder, {"PATH": "/usr/bin"})
    assert source.working_dir == "/app"
    assert source.env == {"PATH": "/opt/app:/usr/bin"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [("$A${B}", "1"), ("${A:+yes}${B:+no}", "yes"), ("${B-x}${E-x}${E:-y}", "xy"), (r"\$A", "$A"), ("${A}b", "1b")],
)
def test_variables_are_expanded_as_in_a_shell(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1", "E": ""}) == expanded


def test_only_the_last_stage_counts_and_what_it_builds_on(folder: Path) -> None:
    source = read(
        folder,
        """
        FROM python AS base
        WORKDIR /app
        COPY train.py .
        FROM golang AS tools
        RUN go build
        FROM base
        COPY --from=tools /bin/tool /bin/
        COPY score.py .
        """,
    )
    assert code(source) == {"/app/train.py": "train.py", "/app/score.py": "score.py"}
    assert source.notes == ("COPY /bin/tool /bin/ takes files from another image (--from=tools): they are not there",)


def test_what_cannot_be_honoured_is_named(folder: Path) -> None:
    source = read(
        folder,
        """
        FROM python
        RUN apt-get update && apt-get install -y jq
        RUN <<EOF
        make
        COPY train.py /not/an/instruction
        EOF
        ADD https://example.com/x.bin /x
        COPY nothing.py .
        USER worker
        ENTRYPOINT ["python"]
        CMD ["x"]
        """,
    )
    beginnings = ["RUN make && COPY train.py /not/an/instruction is not done", "ADD https", "COPY nothing.py", "USER worker"]
    assert len(source.notes) == len(beginnings)
    assert all(note.startswith(beginning) for note, beginning in zip(source.notes, beginnings, strict=True))
    assert code(source) == {}
    assert source.packages == (("apt-get", "jq"),)


def test_what_pip_would_install_is_checked(folder: Path) -> None:
    source = read(
        folder,
        """
        FROM python
        WORKDIR /app
        COPY requirements.txt more.txt ./
        RUN pip install --no-cache-dir -r requirements.txt && python -m pip install -q 'pytest<2' "other[x]==1.*"
        """,
    )
    assert source.requirements == ("pytest", "no-such-package>=1", "pytest<2", "other[x]==1.*")
    missing = f"no-such-package>=1 (not installed), pytest<2 ({PYTEST} is installed), other[x]==1.* (not installed)"
    assert image_notes("model:1.0", {"model": folder}) == [f"image model:1.0: {folder}/Dockerfile installs {missing}; pip install it here"]
    assert source.notes == ()


def test_what_an_image_has_that_is_not_done_here_is_said_and_of_an_unknown_image_nothing(folder: Path) -> None:
    read(folder, "FROM x\nRUN apt-get install -y graphviz\n")
    assert image_notes("model", {"model": folder}) == [
        f"image model: {folder}/Dockerfile installs graphviz with apt-get: it must be on this machine"
    ]
    assert image_notes("ubuntu:20.04", {"model": folder}) == []


def test_a_dockerfile_of_many_commands_is_a_few_facts_and_what_matters_comes_first(folder: Path) -> None:
    read(
        folder,
        """
        FROM ubuntu:20.04
        COPY --from=other /a /b
        RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -t stable \\
            python3 libopencv-dev && rm -rf /var/lib/apt/lists/* && cd /tmp && pip3 --version && echo done
        RUN set -ex; cd /src; cmake -D CMAKE_BUILD_TYPE=RELEASE ..; make -j4; make install; ldconfig; ln -s /a /b
        RUN sudo apt-get install -y python3 jq
        RUN apk add --no-cache --virtual .deps gcc
        RUN mkdir -p /data
        """,
    )
    image = f"image model: {folder}/Dockerfile installs"
    assert image_notes("model", {"model": folder}) == [
        f"{image} python3, libopencv-dev, jq with apt-get: it must be on this machine",
        f"{image} gcc with apk: it must be on this machine",
        "image model: COPY /a /b takes files from another image (--from=other): they are not there",
        "image model: RUN cmake -D CMAKE_BUILD_TYPE=RELEASE .. && make -j4 && make install … (and 1 more) is not done",
        "image model: RUN mkdir -p /data is not done",
    ]


def test_an_argument_that_only_a_build_gives_a_value_is_unknown_and_not_empty(folder: Path) -> None:
    source = read(
        folder,
        """
        ARG S
        ARG D
        ARG BASE=python
        FROM $BASE
        ARG S
        ARG E
        COPY $S/* $D/
        ENV A=1
        ENV HOME_OF=$E
        WORKDIR ${E:-/app}
        COPY train.py $UNDECLARED/x/
        RUN apt-get install -y $S jq$E
        """,
    )
    assert [note.partition(":")[0] for note in source.notes] == ["COPY $S/* $D/ is not done", "ENV HOME_OF=$E is not done"]
    assert source.notes[0].endswith("only a build gives D, S a value; write ARG D=VALUE into the Dockerfile")
    assert (code(source), dict(source.env), source.working_dir) == ({"/x/train.py": "train.py"}, {"A": "1"}, "/app")
    mended = read(folder, "ARG S=lib\nARG D=/opt\nFROM python\nARG S\nARG D\nCOPY $S/* $D/\n")
    assert (mended.notes, code(mended)) == ((), {"/opt/a.py": "lib/a.py", "/opt": "lib/deep"})


def test_a_missing_requirements_file_is_named(folder: Path) -> None:
    notes = read(folder, "FROM x\nRUN pip install -r gone.txt\n").notes
    assert notes == ("RUN pip install -r gone.txt: cannot be read (No such file or directory), so nothing is checked",)


@pytest.mark.parametrize(
    "clauses", ["", f"=={PYTEST}", f"~={PYTEST}", ">=1,<1000", "!=1", f"=={PYTEST.split('.')[0]}.*", ">1 ; python_version<'3'"]
)
def test_an_installed_version_meets(clauses: str) -> None:
    assert unmet([f"pytest{clauses}"]) == ()


@pytest.mark.parametrize("clauses", ["==1", "~=1.0", "<1.0", ">1000", f"!={PYTEST}", "==1.*", ">=1, <=2", "===1"])
def test_an_installed_version_does_not_meet(clauses: str) -> None:
    assert unmet([f"pytest{clauses}"]) == (f"pytest{clauses} ({PYTEST} is installed)",)


@pytest.mark.parametrize(
    ("installed", "wanted", "met"),
    [
        ("2.0rc1", ">=2.0", False),
        ("2.0", ">=2.0rc1", True),
        ("1!1.0", ">2.0", True),
        ("1.0.post1", ">1.0", False),
        ("1.0+local", "==1.0", True),
        ("1.0", ">=2 ; python_version >= '3'", False),
        ("1.0", "[extra]>=2", False),
        ("1.0", "no requirement at all", True),
    ],
)
def test_versions_are_compared_as_pip_does(monkeypatch: pytest.MonkeyPatch, installed: str, wanted: str, met: bool) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: installed)
    assert unmet([f"some{wanted}"]) == (() if met else (f"some{wanted} ({installed} is installed)",))


def test_requirements_may_name_each_other(folder: Path) -> None:
    (folder / "more.txt").write_text("a\n-r requirements.txt\n-r more.txt\n")
    source = read(folder, "FROM x\nCOPY requirements.txt more.txt ./\nRUN pip install -r requirements.txt\n")
    assert source.requirements == ("pytest", "a")


def test_a_changed_file_is_told_by_its_digest(folder: Path) -> None:
    before = code_digest(read(folder, "FROM x\nCOPY train.py lib /app/\n"))
    assert set(before) == {"Dockerfile", "train.py", "lib/a.py", "lib/deep/b.py"}
    (folder / "lib/a.py").write_text("changed")
    (folder / "score.py").write_text("changed, but not part of the image")
    after = code_digest(read_image(folder))
    assert {name for name in after if after[name] != before[name]} == {"lib/a.py"}


def test_a_folder_without_dockerfile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="Dockerfile cannot be read"):
        read_image(tmp_path)


def test_a_home_in_the_folder_is_no_code(folder: Path) -> None:
    """It changes with every commit, and is nothing for user code."""
    (folder / ".local_runner" / "objects").mkdir(parents=True)
    (folder / ".local_runner" / "records.sqlite").write_text("x")
    digests = code_digest(read(folder, "FROM python:3.11\nCOPY . /app/\n"))
    assert "train.py" in digests
    assert not any(".local_runner" in name for name in digests)


def test_no_image_is_built_with_a_home_in_it(folder: Path) -> None:
    (folder / ".local_runner").mkdir()
    read(folder, "FROM python:3.11\nCOPY . /app/\n")
    image = Buildable("me/model:1", folder, "")
    with pytest.raises(Invalid, match="would have the home in it"):
        Builder("false").build(image)
    (folder / ".dockerignore").write_text(".local_runner\n")
    with pytest.raises(WorkFailed):
        Builder("false").build(image)
    (folder / ".dockerignore").unlink()
    read(folder, "FROM python:3.11\nCOPY train.py /app/\n")
    with pytest.raises(WorkFailed):
        Builder("false").build(image)
