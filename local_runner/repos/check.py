"""Checks the store against FORMAT.md, with one function for each sentence of its *Invariants*; changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from local_runner.errors import LocalRunnerError
from local_runner.model.entries import parse_entry
from local_runner.model.jobs import FORGOTTEN, JobInfo, JobState
from local_runner.model.refs import META, USER, RepoRef
from local_runner.model.wiring import wiring_of
from local_runner.repos.check_records import RECORDS
from local_runner.repos.collisions import first_collision
from local_runner.repos.findings import Finding, guarded
from local_runner.repos.transaction import has_datums
from local_runner.storage.commit_records import CommitRow
from local_runner.storage.database import Session
from local_runner.storage.trees import Root, whole_piece


class _View(NamedTuple):
    """The state of a check: the session, and the roots of trees that cannot be walked."""

    session: Session
    broken: frozenset[bytes]

    def commits(self) -> list[CommitRow]:
        """All commits, the oldest of each repo first."""
        return [row for repo in self.session.repos.repos() for row in reversed(self.session.commits.of_repo(repo.key))]

    def is_sound(self, *rows: CommitRow) -> bool:
        """Whether all trees of these commits can be walked."""
        return self.broken.isdisjoint(root for row in rows for root in (row.tree, row.datum_index) if root is not None)


class LostContent(NamedTuple):
    """A content that is missing or damaged, the size it should have, and every file that has it, as (commit, path, tag)."""

    name: bytes
    size: int
    problem: str
    files: Sequence[tuple[CommitRow, str, str]]


def check(session: Session, *, contents: bool = True) -> list[Finding]:
    """Every violation in the records and contents of a home. `contents` reads every byte of every file once, which takes time.

    It never fails: what damage keeps from being checked is a finding, too.
    """
    found = [finding for sentence in RECORDS for finding in guarded(sentence, session)]
    broken: set[bytes] = set()
    found += guarded(_pieces, session, broken)
    view = _View(session, frozenset(broken))
    found += [finding for sentence in _SENTENCES for finding in guarded(sentence, view)]
    found += guarded(_files, view, contents=contents)
    return list(dict.fromkeys(found))


# -- objects and trees -------------------------------------------------------------------------------------------------


def _pieces(session: Session, broken: set[bytes]) -> Iterator[Finding]:
    """A root must lead to pieces that are all there, and each must hash to its name."""
    walked = _Pieces(session)
    for row in _View(session, frozenset()).commits():
        for root in (row.tree, row.datum_index):
            problem = walked.problem(root) if root is not None and root not in broken else ""
            if root is not None and problem:
                broken.add(root)
                yield Finding(f"tree {root.hex()}", f"{problem}; it is one of {row.ref}")
    yield from (Finding(f"piece {name.hex()}", "its content is not what its name says") for name in walked.rotten())


class _Pieces:
    """Walks trees, each piece once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._seen: dict[bytes, str] = {}  # a piece -> what is wrong with it or below it

    def problem(self, root: bytes) -> str:
        """What is wrong with a tree; "" if nothing is."""
        if root not in self._seen:
            try:
                children = self._session.trees.children(root)
            except LocalRunnerError as error:
                self._seen[root] = error.message
            else:
                self._seen[root] = next((problem for problem in map(self.problem, children) if problem), "")
        return self._seen[root]

    def rotten(self) -> Iterator[bytes]:
        """Names of all damaged pieces."""
        for name, content in self._session.connection.execute("SELECT name, content FROM node"):
            if self._seen.get(name, "unseen") and whole_piece(name, content) is None:
                yield name


def _files(view: _View, *, contents: bool) -> Iterator[Finding]:
    """An entry of a tree must name a content that is there, has its size and hashes to its name."""
    for lost in _lost(view, contents=contents):
        row, path, _ = lost.files[0]
        more = f", as that of {len(lost.files) - 1} more" if len(lost.files) > 1 else ""
        yield Finding(f"{row.ref}:{path}", f"its content {lost.name.hex()}{more} {lost.problem}")


def broken_trees(session: Session) -> set[bytes]:
    """The roots of trees with pieces that are missing or damaged."""
    broken: set[bytes] = set()
    list(guarded(_pieces, session, broken))
    return broken


def lost_contents(session: Session) -> list[LostContent]:
    """The contents that files have and the store has not, or not whole. Trees that cannot be walked are left out."""
    return list(_lost(_View(session, frozenset(broken_trees(session))), contents=True))


def _lost(view: _View, *, contents: bool) -> Iterator[LostContent]:
    session = view.session
    wanted: dict[bytes, tuple[int, list[tuple[CommitRow, str, str]]]] = {}
    previous: Root = None
    for row in view.commits():
        if view.is_sound(row):
            for key, _, value in session.trees.diff(previous, row.tree):
                if value is not None:
                    entry = parse_entry(key, value)
                    wanted.setdefault(entry.hash, (entry.size, []))[1].append((row, entry.path, entry.tag))
            previous = row.tree
    for name, (size, files) in wanted.items():
        problem = session.objects.problem(name, size, read=contents)
        if problem:
            yield LostContent(name, size, problem, files)


# -- commits and branches ----------------------------------------------------------------------------------------------


def _branch_heads(view: _View) -> Iterator[Finding]:
    """A branch must have a head, and that must be a commit of its repo."""
    for branch in view.session.repos.branches():
        head = view.session.commits.at(branch.head) if branch.head is not None else None
        if head is None:
            yield Finding(str(branch.ref), "has no head")
        elif head.ref.repo != branch.ref.repo:
            yield Finding(str(branch.ref), f"its head {head.ref} lies in another repo")


def _parents(view: _View) -> Iterator[Finding]:
    """A commit's parent must be an older commit of its repo, and none may be its own ancestor."""
    for row in view.commits():
        parent = view.session.commits.at(row.parent) if row.parent is not None else None
        if parent is not None and parent.repo != row.repo:
            yield Finding(str(row.ref), f"its parent {parent.ref} lies in another repo")
        elif parent is not None and parent.key >= row.key:
            yield Finding(str(row.ref), f"its parent {parent.ref} is younger than itself")


def _sizes(view: _View) -> Iterator[Finding]:
    """A finished commit must have the size of its files."""
    for row in view.commits():
        if row.finished is not None and view.is_sound(row) and row.size != view.session.trees.totals(row.tree).size:
            yield Finding(str(row.ref), f"its record says {row.size} bytes, its files have {view.session.trees.totals(row.tree).size}")


def _folder_trees(view: _View) -> Iterator[Finding]:
    """A finished commit without error must be a folder tree."""
    for row in view.commits():
        if row.finished is not None and view.is_sound(row) and not row.error and row.ref.repo.type != META:
            collision = first_collision(view.session.trees, None, row.tree)
            if collision:
                yield Finding(str(row.ref), collision)


# -- jobs --------------------------------------------------------------------------------------------------------------


def _jobs(view: _View) -> Iterator[Finding]:
    """The output and meta commit of a job must be open exactly as long as the job is unfinished; people may close that of a service."""
    for info in view.session.pipelines.jobs():
        for kind in (USER, META):
            row = _commit_of(view.session, info, kind)
            if row is not None and row.is_open == info.state.is_final and (row.is_open or has_datums(view.session, row.ref.repo)):
                yield Finding(f"job {info.job}", f"it is {info.state.word}, but {row.ref} is {'open' if row.is_open else 'finished'}")


def _provenance(view: _View) -> Iterator[Finding]:
    """The output commit of an unfinished job must stand on a commit of each repo that its pipeline reads."""
    session = view.session
    for info in session.pipelines.unfinished_jobs():
        output = _commit_of(session, info, USER)
        if output is None:
            yield Finding(f"job {info.job}", "its output commit is not there")
            continue
        version = session.pipelines.version(info.job.pipeline, info.pipeline_version)
        there = {row.ref.repo for row in session.commits.sources(output.key)}
        for repo in sorted(wiring_of(version.effective_spec, version.pipeline).inputs - there) if version else ():
            yield Finding(f"job {info.job}", f"it waits for a commit of {repo} that is not there")


def _records(view: _View) -> Iterator[Finding]:
    """Each record of a meta commit must have its document, and each document its record."""
    for row in view.commits():
        if row.ref.repo.type != META or row.error or not view.is_sound(row) or not (row.begun or row.finished is not None):
            continue
        marked = {key.decode() for key, _ in view.session.trees.scan(row.datum_index)}
        described = {tag for path, tag in _entries(view.session, row) if path == f"/meta/{tag}/meta"}
        for datum in sorted(marked ^ described):
            yield Finding(
                str(row.ref), f"datum {datum} has {'a record, but no document' if datum in marked else 'a document, but no record'}"
            )


def _outputs(view: _View) -> Iterator[Finding]:
    """The output commit of a job that succeeded must hold exactly the files its meta commit lists, under the same tags.

    Of a recovered datum both may be: without outputs, and with those of a later attempt (reference pps 2.6, *Quirk*).
    """
    for info in view.session.pipelines.jobs():
        output, meta = _commit_of(view.session, info, USER), _commit_of(view.session, info, META)
        if (
            info.state is not JobState.SUCCESS
            or output is None
            or meta is None
            or meta.error == FORGOTTEN
            or not view.is_sound(output, meta)
        ):
            continue
        written = set(_entries(view.session, output))
        listed = {
            (path.removeprefix(f"/pfs/{tag}/out"), tag) for path, tag in _entries(view.session, meta) if path.startswith(f"/pfs/{tag}/out/")
        }
        for path, tag in sorted(written - listed):
            yield Finding(str(output.ref), f"{path} of datum {tag} is not in {meta.ref}")
        for path, tag in sorted(listed - written):
            if _is_processed(view.session.trees.get(meta.datum_index, tag.encode())):
                yield Finding(str(output.ref), f"lacks {path} of datum {tag}")


_SENTENCES: tuple[Callable[[_View], Iterator[Finding]], ...] = (
    _branch_heads,
    _parents,
    _sizes,
    _folder_trees,
    _jobs,
    _provenance,
    _records,
    _outputs,
)

# -- helpers -----------------------------------------------------------------------------------------------------------


def _is_processed(record: bytes | None) -> bool:
    """Whether a record of the datum index says that its datum was processed: the letter behind the skip key."""
    return record is not None and record[32:33] == b"P"


def _commit_of(session: Session, info: JobInfo, kind: str) -> CommitRow | None:
    repo = session.repos.repo(RepoRef(info.job.pipeline.project, info.job.pipeline.name, kind))
    return session.commits.find(repo.key, info.job.id) if repo else None


def _entries(session: Session, row: CommitRow) -> Iterator[tuple[str, str]]:
    """Path and tag of every file."""
    for key, _ in session.trees.scan(row.tree):
        path, _, tag = key.decode().partition("\0")
        yield path, tag
