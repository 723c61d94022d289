"""Records that lost something say so: transactions by a count outside of them, rows by their sums."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local_runner.errors import Unavailable
from local_runner.repos.findings import Finding
from local_runner.storage.count import read_count, write_count
from local_runner.storage.database import Database
from local_runner.storage.home import open_home
from local_runner.storage.row_sums import TABLES, wrong_rows
from tests.support.lab import Lab

WRITER = """
import os, sys
from pathlib import Path
from local_runner.storage.database import Database
from local_runner.storage.home import open_home
database = Database(open_home(Path(sys.argv[1])))
for n in range(int(sys.argv[3])):
    with database.write() as session:
        session.repos.set_setting(sys.argv[2], str(n))
    print(n, flush=True)
os._exit(0)  # as a kill: the log stays
"""


def write(home: Path, name: str, count: int) -> None:
    """Transactions whose log is left by a kill."""
    subprocess.run([sys.executable, "-c", WRITER, str(home), name, str(count)], check=True, stdout=subprocess.DEVNULL)


def log_of(home: Path) -> Path:
    return home / "records.sqlite-wal"


def found(home: Path) -> list[Finding]:
    lab = Lab(home)
    findings = lab.runner.fsck()
    lab.close()
    return findings


def test_a_log_that_is_gone_is_missed_by_the_next_who_looks_and_by_fsck(home: Path) -> None:
    write(home, "a", 5)
    log_of(home).unlink()
    database = Database(open_home(home))
    for use in (database.read, database.write, database.read_apart):
        with pytest.raises(Unavailable, match="lost the last") as error, use():
            pass
        assert "fsck --fix" in error.value.hint
    database.close()
    assert [(finding.subject, "reported done" in finding.problem) for finding in found(home)][:1] == [("records", True)]


def test_every_flip_in_the_log_is_missed(home: Path) -> None:
    write(home, "a", 4)
    pristine, whole = home.with_name("pristine"), log_of(home).read_bytes()
    shutil.copytree(home, pristine)
    flips = random.Random(1)
    for _ in range(60):
        shutil.rmtree(home)
        shutil.copytree(pristine, home)
        at = flips.randrange(len(whole))
        log_of(home).write_bytes(whole[:at] + bytes([whole[at] ^ (1 << flips.randrange(8))]) + whole[at + 1 :])
        database = Database(open_home(home))
        try:
            with database.read() as session:
                assert session.repos.setting("a") == "3", at
        except Unavailable:
            pass
        database.close()


def test_loss_is_accepted_by_who_says_so(home: Path) -> None:
    write(home, "a", 5)
    log_of(home).unlink()
    database = Database(open_home(home))
    assert database.lost
    database.accept_loss()
    with database.write() as session:
        session.repos.set_setting("b", "1")
    database.close()
    assert found(home) == []


def test_records_that_are_gone_do_not_come_back_empty(home: Path) -> None:
    write(home, "a", 1)
    log_of(home).unlink()
    (home / "records.sqlite").unlink()
    database = Database(open_home(home))
    with pytest.raises(Unavailable, match=r"records.sqlite is missing"), database.read():
        pass
    assert not (home / "records.sqlite").exists()
    database.close()


def test_writers_killed_at_any_moment_raise_no_alarm(home: Path) -> None:
    open_home(home)
    moment = random.Random(3)
    for round_ in range(12):
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(home), f"{name}", "100000"], stdout=subprocess.PIPE, text=True)
            for name in range(2)
        ]
        said = [writer.stdout.readline() for writer in writers if writer.stdout]
        assert all(said)
        time.sleep(moment.uniform(0, 0.05))
        for writer in writers:
            writer.kill()
        last = [writer.communicate()[0].split("\n")[-2:-1] for writer in writers]
        copy = home.with_name(f"copy{round_}")
        shutil.copytree(home, copy, ignore=shutil.ignore_patterns("bells"))
        for where in (home, copy):
            database = Database(open_home(where))
            with database.read() as session:
                for name, lines in enumerate(last):
                    if lines:
                        assert int(session.repos.setting(str(name)) or -1) >= int(lines[0])
            database.close()
        shutil.rmtree(copy)
    assert found(home) == []


def test_a_kill_between_the_commit_and_the_count_raises_no_alarm(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(open_home(home))
    with monkeypatch.context() as patch:
        patch.setattr("local_runner.storage.database.write_count", lambda path, count: None)
        for n in range(3):
            with database.write() as session:
                session.repos.set_setting("a", str(n))
    counted = read_count(home / "committed")
    with database.write() as session:
        session.repos.set_setting("a", "4")
    assert read_count(home / "committed") == counted + 4 or counted == 0
    database.close()
    assert found(home) == []


def test_a_transaction_that_changes_nothing_writes_nothing(database: Database) -> None:
    with database.write() as session:
        session.repos.set_setting("a", "1")
    size = log_of(database.home.path).stat().st_size
    for _ in range(3):
        with database.write() as session:
            assert session.repos.setting("a") == "1"
    assert log_of(database.home.path).stat().st_size == size


@pytest.mark.parametrize("content", [b"", b"x" * 40, b"12", b"99999999999999999999 00000000\n", b"00000000000000000007 zz\n"])
def test_a_count_that_cannot_be_believed_counts_for_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "committed").write_bytes(content)
    assert read_count(tmp_path / "committed") == 0
    write_count(tmp_path / "committed", 12)
    assert read_count(tmp_path / "committed") == 12


def test_every_flip_of_the_count_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "committed"
    write_count(path, 1234)
    whole = path.read_bytes()
    for bit in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(damaged))
        assert read_count(path) in (0, 1234), bit


# -- rows --------------------------------------------------------------------------------------------------------------


def busy(lab: Lab) -> None:
    """All kinds of rows."""
    lab.put("data@master", {"/a": "1", "/b": "2"})
    lab.pipeline("copy")
    lab.pipeline("next", "copy:/*")
    lab.run_all()
    lab.put("data@master", {"/a": None})
    lab.run_all()
    lab.runner.create_secret({"metadata": {"name": "s"}, "stringData": {"k": "v"}})
    lab.runner.start_transaction()


def wrong(home: Path) -> list[tuple[str, bool]]:
    database = Database(open_home(home))
    with database.read() as session:
        rows = [(row.table, row.found) for row in wrong_rows(session.connection)]
    database.close()
    return rows


def test_sums_follow_every_row_through_all_verbs(lab: Lab) -> None:
    home = lab.runner.home
    busy(lab)
    assert wrong(home) == []
    for repo in ("next", "copy"):
        lab.runner.delete_pipeline(next(info.pipeline for info in lab.runner.list_pipeline() if info.pipeline.name == repo), force=True)
        assert wrong(home) == []
    lab.runner.delete_all()
    assert wrong(home) == []


@pytest.mark.parametrize("table", TABLES)
def test_a_row_that_changed_by_itself_is_found_and_one_that_went(lab: Lab, table: str) -> None:
    busy(lab)
    home = lab.runner.home
    lab.close()
    with sqlite3.connect(home / "records.sqlite") as connection:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if not row[5]]
        rows = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        assert rows
        for column in columns:
            before = connection.execute(f'SELECT "{column}" FROM {table}').fetchall()
            connection.execute(f"UPDATE {table} SET \"{column}\" = CAST(coalesce(\"{column}\", '') || 'x' AS TEXT)")
            connection.commit()
            assert set(wrong(home)) == {(table, True)}, column
            connection.execute(f'UPDATE {table} SET "{column}" = ?', before[0]) if rows == 1 else None
        connection.execute(f"DELETE FROM {table}")
        connection.commit()
        assert (table, False) in wrong(home)
    connection.close()
    assert any("has gone" in finding.problem for finding in found(home))


def test_a_home_of_an_earlier_version_gets_its_sums_with_its_first_write(home: Path) -> None:
    lab = Lab(home)
    busy(lab)
    lab.close()
    with sqlite3.connect(home / "records.sqlite") as connection:
        for table in ("block_sums", "row_sum", "written"):
            connection.execute(f"DROP TABLE {table}")
    connection.close()
    os.unlink(home / "committed")
    assert found(home) == []
    again = Lab(home)
    again.put("data@master", {"/c": "3"})
    again.run_all()
    again.close()
    assert found(home) == []
    assert read_count(home / "committed") > 1
    with sqlite3.connect(home / "records.sqlite") as connection:
        connection.execute("UPDATE repo SET description = 'something else'")
    connection.close()
    assert {finding.problem for finding in found(home)} == {"is not what was written"}


def test_who_fails_over_a_damaged_row_is_told_which(lab: Lab) -> None:
    busy(lab)
    home = lab.runner.home
    lab.close()
    with sqlite3.connect(home / "records.sqlite") as connection:
        connection.execute("UPDATE commits SET started = 'once' WHERE key = 1")
    connection.close()
    database = Database(open_home(home))
    with pytest.raises(Unavailable, match="row 1 of commits is not what was written") as error, database.read() as session:
        assert session.commits.at(1).started > 0
    assert "fsck" in error.value.hint
    database.close()


UPGRADE = """
import os, sys
from pathlib import Path
from local_runner.storage.database import Database
from local_runner.storage.home import open_home
left = [int(sys.argv[2])]
def count(statement):
    left[0] -= 1
    if not left[0]:
        os._exit(9)
database = Database(open_home(Path(sys.argv[1])))
database._session().connection.set_trace_callback(count)
with database.write() as session:
    session.repos.set_setting("a", "1")
os._exit(0)
"""


def test_a_home_of_an_earlier_version_may_be_killed_at_each_step_of_its_first_write(home: Path) -> None:
    lab = Lab(home)
    busy(lab)
    lab.close()
    with sqlite3.connect(home / "records.sqlite") as connection:
        for table in ("block_sums", "row_sum", "written"):
            connection.execute(f"DROP TABLE {table}")
    connection.close()
    os.unlink(home / "committed")
    pristine = home.with_name("pristine")
    shutil.copytree(home, pristine)
    step, status = 1, 9
    while status == 9:
        shutil.rmtree(home)
        shutil.copytree(pristine, home)
        status = subprocess.run([sys.executable, "-c", UPGRADE, str(home), str(step)], check=False).returncode
        assert found(home) == [], step
        step += 13 if step > 8 else 1
    assert status == 0
    assert step > 30
