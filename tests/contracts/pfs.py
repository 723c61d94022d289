"""What a datum sees, what is collected of it, and what the next one does not see."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from local_runner.errors import Unavailable
from local_runner.executors.base import Executor
from local_runner.executors.launcher.tree import Tree, TreeChanges
from tests.contracts.bench import PATH, Bench, WithExecutor, tree_of, unique_sleep


class PfsContract(WithExecutor):
    # /pfs

    def test_links_stand_while_a_command_runs_and_are_replaced_for_the_next(self, bench: Bench) -> None:
        for datum in ("one", "two"):
            bench.run("cat", "/pfs/in/file", datum=datum)
        bench.run("ls", "/pfs", tree=tree_of("three", links={"other": ".scratch/set/three/pfs/three/in"}))
        bench.run("ls", "/pfs", tree=Tree())
        assert bench.stdout == ["one", "two", "other"]

    def test_what_else_a_command_leaves_in_pfs_is_removed(self, bench: Bench) -> None:
        bench.sh("mkdir -p /pfs/more/deep; touch /pfs/more/deep/file /pfs/file; chmod 0 /pfs/more")
        bench.run("ls", "/pfs")
        assert bench.stdout == ["in", "out"]

    def test_out_can_be_written(self, bench: Bench) -> None:
        bench.sh("mkdir /pfs/out/d && cp /pfs/in/file /pfs/out/d/copy", env={"PATH": PATH})
        assert (bench.out / "d/copy").read_text() == "one\n"
        assert (bench.out / "d/copy").stat().st_uid == os.getuid()
        assert (bench.out / "d/copy").stat().st_mode & 0o777 == 0o644

    def test_a_change_of_an_input_is_not_seen_by_the_next_datum(self, bench: Bench) -> None:
        assert bench.sh("echo more >> /pfs/in/file").accepted()
        assert (bench.out.parent / "in/file").read_text() == "one\nmore\n"
        bench.run("cat", "/pfs/in/file", datum="two")
        assert bench.stdout == ["two"]

    def test_a_command_without_a_tree_sees_the_one_before(self, bench: Bench) -> None:
        bench.sh("echo half > /pfs/out/half; exit 1")
        assert bench.run("cat", "/pfs/out/half", tree=None).accepted()
        assert bench.stdout == ["half"]

    def test_what_a_command_left_is_told(self, bench: Bench) -> None:
        assert bench.run("cat", "/pfs/in/file").left == TreeChanges()
        assert bench.run("touch", "/pfs/out/new").left._replace(unread=()) == TreeChanges(wrote=True)
        assert bench.run("mkdir", "/pfs/out/empty").left._replace(unread=()) == TreeChanges(wrote=True)
        left = bench.sh(
            "printf two > /pfs/in/file; rm $(readlink /pfs/.env); mkdir /pfs/in/d; touch /pfs/in/d/new; ln -s file /pfs/in/link"
        ).left
        assert (left.wrote, sorted(left.changed), left.gone) == (False, ["in/d/new", "in/file"], (".env",))
        assert bench.sh("rm -r $(readlink /pfs/in)").left == TreeChanges(gone=("in/file",))

    def test_an_input_nobody_looked_into_is_told(self, bench: Bench) -> None:
        folder = tree_of("one").folder
        two = tree_of("one", links={name: f"{folder}/{name.replace('more', 'in')}" for name in ("in", "more", "out", ".env")})
        assert bench.run("true", tree=two).left.unread == ("in", "more")
        assert bench.run("ls", "/pfs", tree=two).left.unread == ("in", "more")
        assert bench.run("cat", "/pfs/in/file", tree=two).left.unread == ("more",)
        assert bench.sh("cd /pfs/more && ls", tree=two).left.unread == ("in",)

    def test_a_change_is_noticed_however_soon_it_comes_and_whatever_its_size(self, bench: Bench) -> None:
        for _ in range(20):
            assert bench.sh("echo two > /pfs/in/file").left.changed == ("in/file",)

    def test_every_datum_finds_its_folders_as_they_were_made(self, bench: Bench) -> None:
        look = "find /pfs/in/ /pfs/out/ -printf '%P %y %m\\n' | sort"
        for number, harm in enumerate(
            ["true", "mkdir -p /pfs/out/a/b; touch /pfs/out/a/b/c", "chmod 0 /pfs/out/", "rm -r $(readlink /pfs/out)", "touch /pfs/in/more"]
        ):
            assert bench.sh(f"{look}; {harm}", datum=f"d{number}").accepted()
        bench.sh(look, datum="last")
        assert bench.stdout == [" d 700", " d 755", "file f 644"] * 6

    def test_what_outlives_a_command_does_not_get_into_the_next_datum(self, bench: Bench) -> None:
        assert bench.sh("cd /pfs/out; setsid sh -c 'while sleep 0.02; do touch late; done' & sleep 0.1").accepted()
        assert not bench.run("sleep", "0.2", datum="two").left.wrote

    def test_files_and_pipes_that_were_made_before_are_brought(self, bench: Bench) -> None:
        (bench.scratch / "file").write_text("large")
        os.mkfifo(bench.scratch / "pipe")
        brought = [("in/d/large", ".scratch/file", False), ("in/lazy", ".scratch/pipe", True)]
        folders = [("out", 0o777), ("in", 0o700), ("in/d", 0o777)]
        result = bench.run("ls", "-F", "/pfs/in/", "/pfs/in/d", tree=tree_of("one", folders=folders, brought=brought))
        assert result.left == TreeChanges()
        assert {"lazy|", "large"} <= set(bench.stdout)
        assert [path.name for path in bench.scratch.iterdir() if path.name != "set"] == ["pipe"]

    def test_a_tree_that_cannot_be_laid_out_is_the_runners_fault(self, bench: Bench) -> None:
        with pytest.raises(Unavailable, match=r"cannot be laid out: .*x: No such file"):
            bench.run("true", tree=tree_of("one", folders=[("out", 0o777)], files=[("in/x", b"")]))
        assert bench.run("true").accepted()

    def test_a_variable_may_name_a_file_under_pfs(self, bench: Bench) -> None:
        bench.sh('cat "$in"', env={"in": "/pfs/in/file"})
        assert bench.stdout == ["one"]

    def test_what_stands_in_out_is_collected_and_links_lead_where_they_do_for_user_code(self, bench: Bench) -> None:
        scratch = f"/tmp/local_runner-test-{unique_sleep()}"
        bench.sh(
            f"ln -s /pfs/in/file /pfs/out/a; cp -r /pfs/in /pfs/out/b; echo t > {scratch}; ln -s {scratch} /pfs/out/c; ln -s d /pfs/out/d"
            "; cd /pfs/out; mkdir -p e/f; mkfifo e/pipe; head -c 1000000 /dev/zero > e/f/g; ln -s /proc/self/environ h"
        )
        found = {file.path: file.error or file.content.read() for file in bench.collect("out")}
        assert found.pop("out/e/f/g") == bytes(1_000_000)
        assert found == {
            "out/a": b"one\n",
            "out/b/file": b"one\n",
            "out/c": b"t\n",
            "out/d": "too many levels of symbolic links",
            "out/h": "it is a link that leads nowhere",
        }
        bench.run("rm", scratch)

    def test_links_into_an_input_that_stands_for_another_say_where_they_lead(self, bench: Bench) -> None:
        bench.sh("mkfifo /pfs/in/lazy; ln -s /pfs/in/lazy /pfs/out/a; ln -s /pfs/in /pfs/out/b; ln -s /pfs/in/file /pfs/out/c")
        found = sorted((file.path, file.where, file.is_folder, file.linked) for file in bench.collect("out", real=["in"]))
        assert found == [
            ("out/a", "in/lazy", False, True),
            ("out/b", "in", True, True),
            ("out/c", "in/file", False, True),
        ]

    def test_inputs_are_collected_as_they_are_and_what_became_of_them_is_said(self, bench: Bench) -> None:
        bench.sh("echo more >> /pfs/in/file; cd /pfs/in; mkfifo pipe; ln -s file link")
        found = {file.path: file.error or file.content.read() for file in bench.collect("in/file", "in/pipe", "in/link", "in/none")}
        assert found == {
            "in/file": b"one\nmore\n",
            "in/link": "too many levels of symbolic links",
            "in/none": "no such file or directory",
        }

    def test_a_file_that_is_not_read_to_its_end_keeps_nobody_from_the_next(self, bench: Bench) -> None:
        bench.sh("for name in a b c; do head -c 2000000 /dev/zero > /pfs/out/$name; done")
        sizes = {file.path: len(file.content.read(10)) for file in bench.collect("out")}
        assert sizes == {"out/a": 10, "out/b": 10, "out/c": 10}
        begun = bench.collect("out")
        next(begun).content.read(1)
        assert len(list(bench.collect("out"))) == 3

    def test_large_files_come_whole_among_small_ones_and_nothing_stays_open(self, bench: Bench) -> None:
        bench.sh("cd /pfs/out; for name in a c e; do seq 1 300000 > $name; done; echo b > b; echo d > d; ln -s /pfs/out/a f")
        before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        whole = "".join(f"{number}\n" for number in range(1, 300_001)).encode()
        found = {}
        for file in bench.collect("out"):
            found[file.path] = file.content.read()
            assert bench.worker.look().wrote  # between one file and the next something else may be asked
        assert found == {**{f"out/{name}": whole for name in "acef"}, "out/b": b"b\n", "out/d": b"d\n"}
        if before:
            assert len(os.listdir("/proc/self/fd")) == before

    @pytest.mark.parametrize("harm", ["rm -r $out; ln -s /etc $out", "rm -r $out; touch $out", "chmod 0 $out", "rm -r $out; mkfifo $out"])
    def test_an_output_folder_that_is_none_any_more_leads_nowhere(self, bench: Bench, harm: str) -> None:
        wrote = bench.sh(f"out=$(readlink /pfs/out); {harm}").left.wrote
        found = [file.error for file in bench.collect("out")]
        if "chmod" in harm:
            assert found == (["permission denied"] if wrote else [])  # root may read it
        else:
            assert wrote
            assert found == ["it is no folder any more"]

    def test_folders_above_the_output_that_were_replaced_lead_nowhere_outside(self, bench: Bench) -> None:
        for depth in ("..", "../..", "../../.."):
            bench.sh(
                f"top=$(realpath /pfs/out/{depth}); mv $top $top.away; ln -s / $top; mkdir -p $top/out 2>/dev/null", tree=tree_of("one")
            )
            assert not any(file.path.startswith("out/etc") for file in bench.collect("out"))
            bench.sh("rm -rf /pfs/.scratch/*", tree=None)

    # The image's files

    def test_code_stands_where_the_image_has_it(self, executor: Executor, tmp_path: Path) -> None:
        (tmp_path / "image/lib").mkdir(parents=True)
        (tmp_path / "image/lib/part").write_text("part\n")
        (tmp_path / "image/main").write_text("main\n")
        code = {
            "/no-such-app": tmp_path / "image",
            "/no-such-app/main2": tmp_path / "image/main",
            "/usr/no-such/app/main": tmp_path / "image/main",
        }
        with self.open(executor, tmp_path, code=code, working_dir="/no-such-app") as worker:
            bench = Bench(worker, tmp_path)
            bench.run("cat", "main", "lib/part", "main2", "/no-such-app/main", "/usr/no-such/app/main")
            bench.run("cat", "part", working_dir="/no-such-app/lib")
        assert bench.stdout == ["main", "part", "main", "main", "main", "part"]
        assert sorted(path.name for path in (tmp_path / "image").iterdir()) == ["lib", "main"]

    def test_what_is_mounted_stands_there_and_cannot_be_changed(self, executor: Executor, tmp_path: Path) -> None:
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets/key").write_text("open sesame\n")
        with self.open(executor, tmp_path, mounts={"/no-such/login": tmp_path / "secrets"}) as worker:
            bench = Bench(worker, tmp_path)
            bench.run("cat", "/no-such/login/key")
            if executor.capabilities.absolute_pfs:
                assert not bench.sh("echo x > /no-such/login/key").accepted()
        assert bench.stdout == ["open sesame"]
