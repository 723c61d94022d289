"""Programs that run with `shim.c` loaded before libc, so that each call below a folder can be counted, fail or be written down."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.reliability.attack import ROOT

_SOURCE = Path(__file__).with_name("shim.c")


def why_not() -> str:
    """Why this machine cannot do it, "" if it can."""
    if not sys.platform.startswith("linux"):
        return "calls are counted by a library that only Linux loads"
    return "" if shutil.which("gcc") else "there is no gcc to build the library that counts calls"


def run_preloaded(module: str, *arguments: str) -> str:
    """What a module prints that runs with the shim. Raises `RuntimeError` if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "shim.so")
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(_SOURCE), "-ldl"], check=True)
        env = {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-m", module, *arguments], env=env, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{module} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


class Shim:
    """The shim of this process."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        self._library.shim_calls.restype = ctypes.c_long

    def arm(self, folder: Path, at: int = -1, error: int = 0, *, stays: bool = False) -> None:
        """Count calls below a folder; let the one numbered `at` fail, and with `stays` all that follow."""
        self._library.shim_arm(str(folder).encode(), ctypes.c_long(at), error, int(stays))

    def disarm(self) -> None:
        self._library.shim_arm(b"", ctypes.c_long(-1), 0, 0)

    def calls(self) -> int:
        """How many there were."""
        return int(self._library.shim_calls())

    def record(self, descriptor: int) -> None:
        """Write what is done there to this descriptor; -1 ends it."""
        self._library.shim_record(descriptor)
