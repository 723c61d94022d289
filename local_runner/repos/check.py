"""Whether the store is as FORMAT.md says it must be: one function for each sentence of its *Invariants*. Looks, changes nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from local_runner.errors import LocalRunnerError
from local_runner.model.entries import parse_entry
from local_runner.model.file_hash import FileHasher
from local_runner.model.ids import digest
from local_runner.model.jobs import JobInfo, JobState
from local_runner.model.refs import META, USER, RepoRef
from local_runner.repos.check_tree import first_collision
from local_runner.storage.commit_records import CommitRow
from local_runner.storage.database import Session


class Finding(NamedTuple):
    """Something that must not be: about which commit, branch, job, piece or content, and what is wrong with it."""

    subject: str
    problem: str


def check(session: Session, *, contents: bool = True) -> list[Finding]:
    """All that is wrong with a home. `contents` reads every byte of every file once, which is what takes time."""
    damage = tuple(_pieces(session))
    found = [*damage, *_rows(session)]
    if not damage:  # trees with holes cannot be walked
        found += [finding for sentence in _SENTENCES for finding in sentence(session)]
        found += _files(session, contents)
    return found


# -- objects and trees -------------------------------------------------------------------------------------------------


def _pieces(session: Session) -> Iterator[Finding]:
    """A root must lead to pieces that are all there, and each must hash to its name."""
    rotten = [name for name, content in session.connection.execute("SELECT name, content FROM node") if digest(content) != name]
    yield from (Finding(f"piece {name.hex()}", "its content is not what its name says") for name in rotten)
    if rotten:  # nobody knows what they would lead to
        return
    for root in dict.fromkeys(session.commits.roots()):
        try:
            deque(session.trees.pieces(root), maxlen=0)
        except LocalRunnerError as error:
            yield Finding(f"tree {root.hex()}", error.message)


def _files(session: Session, contents: bool) -> Iterator[Finding]:
    """An entry of a tree must name a content that is there, has its size and hashes to its name."""
    wanted: dict[bytes, tuple[int, str]] = {}
    previous: bytes | None = None
    for row in _commits(session):
        for key, _, value in session.trees.diff(previous, row.tree):
            if value is not None:
                entry = parse_entry(key, value)
                wanted.setdefault(entry.hash, (entry.size, f"{row.ref}:{entry.path}"))
        previous = row.tree
    for name, (size, where) in wanted.items():
        problem = _content_problem(session, name, size, contents)
        if problem:
            yield Finding(where, f"its content {name.hex()} {problem}")


def _content_problem(session: Session, name: bytes, size: int, read: bool) -> str:
    path = session.objects.files.path(name)
    small = session.objects.inline(name)
    if small is None and not path.exists():
        return "is missing"
    found = len(small) if small is not None else path.stat().st_size
    if found != size:
        return f"has {found} bytes, not {size}"
    if read:
        hasher = FileHasher()
        for block in session.objects.read(name):
            hasher.update(block)
        if hasher.digest() != name:
            return "is not what its name says"
    return ""


# -- commits and branches ----------------------------------------------------------------------------------------------


def _rows(session: Session) -> Iterator[Finding]:
    """A row must not point to a row that is not there, and the database file must be whole."""
    for (problem,) in session.connection.execute("PRAGMA quick_check"):
        if problem != "ok":
            yield Finding("records", problem)
    for table, _, target, _ in session.connection.execute("PRAGMA foreign_key_check"):
        yield Finding(f"table {table}", f"a row points to a row of {target} that is not there")


def _branch_heads(session: Session) -> Iterator[Finding]:
    """A branch must have a head, and that must be a commit of its repo."""
    for branch in session.repos.branches():
        head = session.commits.at(branch.head) if branch.head is not None else None
        if head is None:
            yield Finding(str(branch.ref), "has no head")
        elif head.ref.repo != branch.ref.repo:
            yield Finding(str(branch.ref), f"its head {head.ref} lies in another repo")


def _parents(session: Session) -> Iterator[Finding]:
    """A commit's parent must be an older commit of its repo, and none may be its own ancestor."""
    for row in _commits(session):
        parent = session.commits.at(row.parent) if row.parent is not None else None
        if parent is not None and parent.repo != row.repo:
            yield Finding(str(row.ref), f"its parent {parent.ref} lies in another repo")
        elif parent is not None and parent.key >= row.key:
            yield Finding(str(row.ref), f"its parent {parent.ref} is younger than itself")


def _sizes(session: Session) -> Iterator[Finding]:
    """A finished commit must have the size of its files."""
    for row in _commits(session):
        if row.finished is not None and row.size != session.trees.totals(row.tree).size:
            yield Finding(str(row.ref), f"its record says {row.size} bytes, its files have {session.trees.totals(row.tree).size}")


def _folder_trees(session: Session) -> Iterator[Finding]:
    """A finished commit without error must be a folder tree."""
    for row in _commits(session):
        if row.finished is not None and not row.error and row.ref.repo.type != META:
            collision = first_collision(session.trees, None, row.tree)
            if collision:
                yield Finding(str(row.ref), collision)


# -- jobs --------------------------------------------------------------------------------------------------------------


def _jobs(session: Session) -> Iterator[Finding]:
    """The output and meta commit of a job must be open exactly as long as the job is unfinished."""
    for info in session.pipelines.jobs():
        for kind in (USER, META):
            row = _commit_of(session, info, kind)
            if row is not None and row.is_open == info.state.is_final:
                yield Finding(f"job {info.job}", f"it is {info.state.word}, but {row.ref} is {'open' if row.is_open else 'finished'}")


def _marks(session: Session) -> Iterator[Finding]:
    """Each mark of a meta commit must have its document, and each document its mark."""
    for row in _commits(session):
        if row.ref.repo.type != META or row.error or not (row.begun or row.finished is not None):
            continue
        marked = {key.decode() for key, _ in session.trees.scan(row.marks)}
        described = {tag for path, tag in _entries(session, row) if path == f"/meta/{tag}/meta"}
        for datum in sorted(marked ^ described):
            yield Finding(str(row.ref), f"datum {datum} has {'a mark, but no document' if datum in marked else 'a document, but no mark'}")


def _outputs(session: Session) -> Iterator[Finding]:
    """The output commit of a job that succeeded must hold exactly the files its meta commit lists, under the same tags.

    Of a recovered datum both may be: without outputs, and with those of a later attempt (reference pps 2.6, *Quirk*).
    """
    for info in session.pipelines.jobs():
        output, meta = _commit_of(session, info, USER), _commit_of(session, info, META)
        if info.state is not JobState.SUCCESS or output is None or meta is None:
            continue
        written = set(_entries(session, output))
        listed = {
            (path.removeprefix(f"/pfs/{tag}/out"), tag) for path, tag in _entries(session, meta) if path.startswith(f"/pfs/{tag}/out/")
        }
        for path, tag in sorted(written - listed):
            yield Finding(str(output.ref), f"{path} of datum {tag} is not in {meta.ref}")
        for path, tag in sorted(listed - written):
            if _is_processed(session.trees.get(meta.marks, tag.encode())):
                yield Finding(str(output.ref), f"lacks {path} of datum {tag}")


_SENTENCES: tuple[Callable[[Session], Iterator[Finding]], ...] = (
    _branch_heads,
    _parents,
    _sizes,
    _folder_trees,
    _jobs,
    _marks,
    _outputs,
)

# -- helpers -----------------------------------------------------------------------------------------------------------


def _commits(session: Session) -> list[CommitRow]:
    return [row for repo in session.repos.repos() for row in reversed(session.commits.of_repo(repo.key))]


def _is_processed(mark: bytes | None) -> bool:
    """Whether a mark (engine/marks.py) says so: its state is the letter behind the skip key."""
    return mark is not None and mark[32:33] == b"P"


def _commit_of(session: Session, info: JobInfo, kind: str) -> CommitRow | None:
    repo = session.repos.repo(RepoRef(info.job.pipeline.project, info.job.pipeline.name, kind))
    return session.commits.find(repo.key, info.job.id) if repo else None


def _entries(session: Session, row: CommitRow) -> Iterator[tuple[str, str]]:
    """Path and tag of every file."""
    for key, _ in session.trees.scan(row.tree):
        path, _, tag = key.decode().partition("\0")
        yield path, tag
