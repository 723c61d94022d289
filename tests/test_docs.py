"""The documents say what is so: links lead somewhere, what they name exists, what the code refers to is written down."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
DEVIATIONS = (DOCS / "DEVIATIONS.md").read_text()

# A citation: which of the two references, sections of it, and perhaps words of the last one.
# So "pps 2.2–2.5, 5.5", "`pfs.md` 1.8", "pfs 1.3, *alias*".
CITATION = re.compile(r"\b(pps|pfs)(\.md`)?\s+(\d+(?:\.\d+)?(?:(?:,\s|–|-|\sand\s)\d+(?:\.\d+)?)*)(?:,\s+\*([^*]+)\*)?")


def tracked(*patterns: str) -> list[Path]:
    """The files of the project that match."""
    listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard", *patterns], cwd=ROOT, check=True, capture_output=True)
    return [path for name in listed.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


DOCUMENTS = tracked("*.md")


def anchors(document: Path) -> set[str]:
    """What `#…` may name in a document, by GitHub's rule."""
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.*)", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        found = document.parent / path if path else document
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_paths_that_are_named_exist(document: Path) -> None:
    for named in re.findall(r"`((?:local_runner|tests|docs|images|pipelines|parameters|data)/[\w./]*)`", document.read_text()):
        assert (ROOT / named).exists() or (ROOT / "local_runner" / named).exists(), named


def test_a_page_and_section_that_the_code_names_is_there() -> None:
    for file in tracked("*.py", "*.sql"):
        for page, section in re.findall(r"\b([A-Z]{3,}\.md)\b(?:,\s+\*([^*]+)\*)?", file.read_text()):
            found = ROOT / page if page == "README.md" else DOCS / page
            assert found.exists(), f"{name(file)}: {page}"
            assert not section or re.search(rf"^#+ {re.escape(section)}$", found.read_text(), flags=re.M), f"{name(file)}: {section}"


def sections(reference: str) -> dict[str, str]:
    """The numbered sections of a reference: number -> text, those below it included."""
    text = (DOCS / "reference" / f"{reference}.md").read_text()
    parts = re.split(r"^#+ (\d+(?:\.\d+)?)(?=[. ])", text, flags=re.M)[1:]
    own = dict(zip(parts[::2], parts[1::2], strict=True))
    return {number: "".join(part for below, part in own.items() if f"{below}.".startswith(f"{number}.")) for number in own}


def citations() -> Iterator[tuple[str, str, str, str]]:
    """Where, which reference, which section and which words of it are cited, all over the project."""
    for file in tracked("*.py", "*.md", "*.sql", "*.yaml"):
        for found in CITATION.finditer(file.read_text()):
            if file.parent.name == "reference" and file.suffix == ".md" and not found[2]:
                continue  # there the word and a number count calls
            numbers = re.split(r",\s|–|-|\sand\s", found[3])
            for number in numbers:
                yield name(file), found[1], number, (found[4] or "") if number == numbers[-1] else ""


def test_each_citation_of_a_reference_names_a_section_of_it() -> None:
    known = {reference: sections(reference) for reference in ("pps", "pfs")}
    found = list(citations())
    assert len(found) > 100
    for file, reference, number, words in found:
        assert number in known[reference], f"{file}: {reference} {number}"
        assert words.lower() in known[reference][number].lower(), f"{file}: {reference} {number}, {words}"


def test_each_room_has_a_line_in_the_design_page_and_is_in_a_layer() -> None:
    block = (DOCS / "DESIGN.md").read_text().partition("## The rooms")[2].split("```")[1]
    named, above = set(), ""
    for line in block.strip().splitlines():
        room = line.split()[0].rstrip("/")
        above = above if line.startswith(" ") else room
        named.add(f"{above}/{room}" if line.startswith(" ") else room)
    package = ROOT / "local_runner"
    folders = {file.parent.relative_to(package).as_posix() for file in tracked("local_runner/*.py") if file.name == "__init__.py"}
    files = {file.name for file in tracked("local_runner/*.py") if file.parent == package and not file.name.startswith("__")}
    assert named == (folders - {"."}) | files
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = {module.strip() for layer in contracts[0]["layers"] for module in layer.split("|")}
    assert layers == {f"local_runner.{room.removesuffix('.py')}" for room in named if "/" not in room}


def test_each_file_that_starts_a_thread_is_in_the_section_about_threads() -> None:
    section = (DOCS / "DESIGN.md").read_text().partition("\n## Threads\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([\w/]+\.py)`", section))
    starts = {
        file.relative_to(ROOT / "local_runner").as_posix()
        for file in tracked("local_runner/*.py")
        if re.search(r"\b(?:threading\.(?:Thread|Timer)|ThreadPoolExecutor)\(|\(threading\.Thread\):", file.read_text())
    }
    assert starts <= named
    assert [file for file in named if not (ROOT / "local_runner" / file).exists()] == []


def test_each_deviation_names_the_test_that_shows_it() -> None:
    rows = [row for row in DEVIATIONS.splitlines() if row.startswith("| ") and not row.startswith(("| on a cluster", "|---"))]
    assert rows
    for row in rows:
        shown = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row.split("|")[-2])
        assert shown, f"no test is named: {row}"
        for file, test in shown:
            assert re.search(rf"def {test}\b", (ROOT / file).read_text()), f"{file} has no {test}"


@pytest.mark.parametrize("file", ["tests/test_deviations.py", "tests/cli/test_deviations.py"])
def test_each_test_of_a_deviation_has_its_row(file: str) -> None:
    for test in re.findall(r"^def (test_\w+)", (ROOT / file).read_text(), flags=re.M):
        assert f"`{file}::{test}`" in DEVIATIONS, test
