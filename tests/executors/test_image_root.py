"""Images as roots of the sandbox: the same contracts as with the host's files, and what an image says of itself."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from local_runner.errors import NotFound, Unavailable
from local_runner.executors import image_root
from local_runner.executors.base import Executor, Worker
from local_runner.executors.sandbox import SandboxExecutor
from local_runner.oci.cache import ImageCache
from local_runner.oci.pull import load
from tests.contracts.bench import PATH, Bench, worker_request
from tests.contracts.executor import ExecutorContract
from tests.contracts.isolation import IsolationContract
from tests.executors.test_sandbox import needs_root, needs_sandbox
from tests.support.images import PROGRAMS, USERS, Entry, Image, file, folder, layer, link, of_this_machine

NAME = "acme/scan:1"


@pytest.fixture(scope="module")
def system() -> bytes:
    """A layer with the programs of this host and this Python, but none of its files besides."""
    return of_this_machine(*PROGRAMS, sys.executable)


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory, system: bytes) -> Path:
    """A folder of caches with an image in it."""
    home = tmp_path_factory.mktemp("cache")
    keep(home, [system, layer(*USERS)], {"Entrypoint": ["/bin/false"], "Cmd": ["/bin/false"]})
    return home


def keep(caches: Path, layers: list[bytes], config: dict[str, object], name: str = NAME) -> None:
    archive = Image(layers, config, pack=lambda content: content).as_archive(caches / "image.tar")
    load(ImageCache(caches / "local_runner/images"), archive, name=name)


class OfAnImage:
    """Workers whose root is the image."""

    python = sys.executable

    @pytest.fixture
    def executor(self, caches: Path, monkeypatch: pytest.MonkeyPatch) -> SandboxExecutor:
        monkeypatch.setenv("XDG_CACHE_HOME", str(caches))
        return SandboxExecutor()

    def open(self, executor: Executor, home: Path, **more: object) -> AbstractContextManager[Worker]:
        # The library of its Python is that of this one: it would be many megabytes.
        places = {sys.prefix, sys.base_prefix, os.path.dirname(os.__file__)} - {"/usr"}  # which is no Python's alone
        library = {place: Path(place) for place in places}
        more["code"] = {**library, **more.get("code", {})}  # type: ignore[dict-item]
        more.setdefault("rootfs", NAME)
        more.setdefault("env", {"PATH": PATH, "COLOUR": "red", "HOME": os.path.expanduser("~")})
        return executor.worker(worker_request(home, **more))  # type: ignore[arg-type]

    @pytest.fixture
    def bench(self, executor: SandboxExecutor, tmp_path: Path) -> Iterator[Bench]:
        with self.open(executor, tmp_path) as worker:
            yield Bench(worker, tmp_path)


class WhatEveryImageHas(OfAnImage):
    """Whether its layers are stacked or merged."""

    def test_of_the_host_no_file_is_seen(self, bench: Bench) -> None:
        bench.sh("cat /etc/passwd; ls /app /home; ls /usr/share /opt /root/*")
        assert "ann:x:1234:1235::/home/ann:/bin/sh" in bench.stdout
        assert bench.stdout[-1] == "ann"

    def test_tmp_is_writable_and_the_workers_own(self, executor: SandboxExecutor, tmp_path: Path) -> None:
        with self.open(executor, tmp_path / "a") as first, self.open(executor, tmp_path / "b") as second:
            one, two = Bench(first, tmp_path / "a"), Bench(second, tmp_path / "b")
            assert one.sh("echo x > /tmp/left && echo y > /var/tmp/left && cat /tmp/left /var/tmp/left").accepted()
            assert not two.sh("cat /tmp/left || cat /var/tmp/left").accepted()
        assert one.stdout == ["x", "y"]

    def test_nothing_that_is_done_inside_changes_what_is_kept(self, bench: Bench, caches: Path) -> None:
        kept = sorted((path, path.lstat().st_mtime_ns) for path in (caches / "local_runner/images/layers").rglob("*"))
        bench.sh("echo x >> /etc/passwd; rm -rf /home /usr/bin/*; chmod 777 /etc; echo x > /etc/new; mv /app /else")
        assert sorted((path, path.lstat().st_mtime_ns) for path in (caches / "local_runner/images/layers").rglob("*")) == kept

    def test_secrets_and_code_stand_over_the_images_files(self, executor: SandboxExecutor, tmp_path: Path) -> None:
        for name in ("code", "secret"):
            (tmp_path / name).write_text(f"{name}\n")
        code, mounts = {"/app/main": tmp_path / "code"}, {"/etc/passwd": tmp_path / "secret", "/deep/in/it": tmp_path / "secret"}
        with self.open(executor, tmp_path, code=code, mounts=mounts) as worker:
            bench = Bench(worker, tmp_path)
            assert bench.run("cat", "/app/main", "/etc/passwd", "/deep/in/it").accepted()
            assert not bench.sh("echo x > /etc/passwd").accepted()
        assert bench.stdout == ["code", "secret", "secret"]

    def test_layers_hide_what_is_below_them(self, executor: SandboxExecutor, caches: Path, system: bytes, tmp_path: Path) -> None:
        old = [folder("app/old"), file("app/old/a"), file("app/gone"), file("app/kept", "below"), link("app/l", "kept")]
        new = [file("app/.wh.gone"), folder("app/old"), file("app/old/.wh..wh..opq"), file("app/old/b"), file("app/kept", "above")]
        keep(caches, [system, layer(*USERS, *old), layer(*new), layer()], {}, "acme/layers:1")
        with self.open(executor, tmp_path, rootfs="acme/layers:1") as worker:
            bench = Bench(worker, tmp_path)
            assert bench.sh("cd /app; echo * old/*; cat kept l").accepted()
        assert bench.stdout == ["kept l old old/b", "aboveabove"]

    @pytest.mark.parametrize(
        ("hostile", "does"),
        [
            ([link("out", "/.host/var/tmp")], "! ls /out/"),
            ([link("out", "../../../../.host")], "! ls /out/"),
            ([link("proc", "/app"), link("dev", "/app"), link("sys", "/app")], "test -e /proc/self/exe && test -c /dev/null"),
            ([link("tmp", "/etc"), link("var/tmp", "/.host/tmp")], "true"),
            ([link("pfs", "/etc")], "true"),
            ([file("dev", "no folder"), file("proc", "")], "test -c /dev/null && test -e /proc/self/exe"),
        ],
    )
    def test_links_of_an_image_lead_nowhere_else(
        self, executor: SandboxExecutor, caches: Path, system: bytes, tmp_path: Path, hostile: list[Entry], does: str
    ) -> None:
        users = [entry for entry in USERS if entry[0] not in {name for name, _, _ in hostile}]
        keep(caches, [system, layer(*users, *hostile)], {"WorkingDir": "/out/new"}, "acme/hostile:1")
        with contextlib.suppress(Unavailable), self.open(executor, tmp_path, rootfs="acme/hostile:1") as worker:
            bench = Bench(worker, tmp_path)
            assert bench.sh(f"{does}; test ! -e /.host", working_dir="/").accepted()
        assert not Path("/var/tmp/new").exists()
        assert not Path("/new").exists()


@needs_sandbox
class TestStackedImage(WhatEveryImageHas, ExecutorContract, IsolationContract):
    """As most machines do it."""

    def test_an_image_is_writable_as_it_is_in_a_container_and_the_next_worker_finds_it_as_it_was(
        self, executor: SandboxExecutor, tmp_path: Path
    ) -> None:
        for name in ("a", "b"):
            with self.open(executor, tmp_path / name) as worker:
                bench = Bench(worker, tmp_path / name)
                assert bench.sh("ls /app; echo x > /app/new; rm /etc/group; mkdir /usr/new; ls /app").accepted()
            assert bench.stdout == ["new"]

    def test_what_the_image_says_of_itself_holds(self, executor: SandboxExecutor, caches: Path, system: bytes, tmp_path: Path) -> None:
        config = {"Env": ["COLOUR=green", "PATH=/bin", "SHAPE=round=1"], "WorkingDir": "/srv/code", "Entrypoint": ["/bin/false"]}
        keep(caches, [system, layer(*USERS, folder("srv/code"), file("srv/code/model", "here\n"))], config, "acme/env:1")
        with self.open(executor, tmp_path, rootfs="acme/env:1", env={"SHAPE": "square"}) as worker:
            bench = Bench(worker, tmp_path)
            assert bench.sh("pwd; cat model; echo $COLOUR $PATH $SHAPE $HOME").accepted()
        assert bench.stdout == ["/srv/code", "here", "green /bin square /root"]

    @needs_root
    @pytest.mark.parametrize(("user", "said"), [("ann", "1234 1235 /home/ann"), ("4321", "4321 0 /"), ("ann:staff", "1234 50 /home/ann")])
    def test_root_gives_user_code_the_user_of_the_image(
        self, executor: SandboxExecutor, caches: Path, system: bytes, tmp_path: Path, user: str, said: str
    ) -> None:
        keep(caches, [system, layer(*USERS)], {"User": user}, "acme/user:1")
        with self.open(executor, tmp_path, rootfs="acme/user:1", env={}) as worker:
            bench = Bench(worker, tmp_path)
            assert bench.sh("echo $(id -u) $(id -g) $HOME; echo x > /pfs/out/x").accepted()
            assert not bench.sh("echo x > /etc/new").accepted()
        assert bench.stdout == [said]

    @needs_root
    def test_the_user_of_the_transform_is_looked_for_in_the_image(self, executor: SandboxExecutor, tmp_path: Path) -> None:
        with self.open(executor, tmp_path / "a", user="ann") as worker:
            bench = Bench(worker, tmp_path / "a")
            bench.run("id", "-u")
        assert bench.stdout == ["1234"]
        with pytest.raises(Unavailable, match="user nobody not found"), self.open(executor, tmp_path / "b", user="nobody"):
            pass

    @needs_root
    def test_files_of_an_image_keep_their_owners(self, executor: SandboxExecutor, caches: Path, system: bytes, tmp_path: Path) -> None:
        mine = layer(*USERS, file("app/mine", "", uid=1234, gid=50, mode=0o4750), folder("app/sticky", uid=7, mode=0o1777))
        keep(caches, [system, mine], {}, "acme/owners:1")
        with self.open(executor, tmp_path, rootfs="acme/owners:1") as worker:
            bench = Bench(worker, tmp_path)
            bench.run("stat", "-c", "%u %g %a", "/app/mine", "/app/sticky")
        assert bench.stdout == ["1234 50 4750", "7 0 1777"]

    def test_what_a_worker_uses_stays_while_it_does(self, executor: SandboxExecutor, caches: Path, system: bytes, tmp_path: Path) -> None:
        keep(caches, [layer(file("only", "here")), system], {}, "acme/used:1")
        cache = ImageCache()
        cache.collect()
        with self.open(executor, tmp_path, rootfs="acme/used:1") as worker:
            bench = Bench(worker, tmp_path)
            assert cache.remove(["acme/used:1"]).layers == 0
            assert bench.run("cat", "/only").accepted()
        assert cache.collect().layers == 1

    def test_an_image_that_is_not_here_is_named(self, executor: SandboxExecutor, tmp_path: Path) -> None:
        with pytest.raises(NotFound, match="image acme/other:1 is not here"), self.open(executor, tmp_path, rootfs="acme/other:1"):
            pass


@needs_sandbox
class TestMergedImage(WhatEveryImageHas):
    """Where the kernel does not stack."""

    @pytest.fixture(autouse=True)
    def _no_stacking(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(image_root, "can_stack", lambda *_: False)

    def test_an_image_cannot_be_written_to_but_there_is_room_beside_it(self, executor: SandboxExecutor, tmp_path: Path) -> None:
        with self.open(executor, tmp_path) as worker:
            bench = Bench(worker, tmp_path)
            assert not bench.sh("echo x > /app/new").accepted()
            assert bench.sh("mkdir /new; echo x > /new/x; echo y > ~/y; cat /new/x ~/y").accepted()
        assert bench.stdout == ["x", "y"]
