"""What there is in a home, of it what nobody needs, and how it comes to be there."""

from __future__ import annotations

from local_runner.model.refs import META, SPEC, USER, parse_file, parse_repo
from tests.support.lab import Lab

LARGE = 100_000


def contents(lab: Lab) -> dict[str, dict[str, tuple[str, bytes]]]:
    """Of every finished commit, what it reads as."""
    found = {}
    for kind in (USER, META, SPEC):
        for repo in lab.runner.list_repo(type=kind):
            for info in lab.runner.list_commit(repo.repo):
                if info.finished:
                    commit = str(info.commit)
                    listed = [entry for entry in lab.runner.walk_file(parse_file(f"{commit}:/")) if not entry.is_folder]
                    found[commit] = {entry.path + entry.datum: (entry.hash.hex(), read(lab, entry.hash)) for entry in listed}
    return found


def read(lab: Lab, name: bytes) -> bytes:
    with lab.runner.database.read() as session:
        return b"".join(session.objects.read(name))


def is_sound(lab: Lab) -> bool:
    return lab.runner.fsck() == []


def rubbish(lab: Lab) -> int:
    """How many things nobody needs."""
    plan = lab.runner.plan_gc()
    return sum(map(len, (plan.pieces.names, plan.small.names, plan.large.names, plan.sums.names, plan.leftovers, plan.logs)))


def there(lab: Lab) -> int:
    """How many pieces and contents there are."""
    with lab.runner.database.read() as session:
        rows = [session.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("node", "object")]
    return sum(rows) + len([path for path in (lab.runner.home / "objects").rglob("*") if path.is_file()])


def large(letter: str) -> bytes:
    return letter.encode() * LARGE


def remove_all_but_the_last_commit(lab: Lab, repo: str = "data") -> None:
    for info in list(lab.runner.list_commit(parse_repo(repo)))[1:]:
        lab.runner.squash_commit_set(info.commit.id)


def large_ones(lab: Lab) -> int:
    return len([path for path in (lab.runner.home / "objects").rglob("*") if path.is_file()])
