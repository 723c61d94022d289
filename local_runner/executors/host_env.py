"""The variables that user code over a host's files gets from that host."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

# What the host's environment may say to user code; anything else would make results depend on whose shell started the engine.
_PASSED_ON = ("HOME", "LANG", "LC_ALL", "TZ", "USER")
# What says which devices a process is to use: whoever starts one worker for each device sets it.
DEVICES = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")


def host_env() -> dict[str, str]:
    """The variables that a process outside containers inherits from the host."""
    # The interpreter the runner uses is the one whose packages were checked against the image's requirements.
    return variables(_PASSED_ON) | {"PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"}


def variables(names: Iterable[str]) -> dict[str, str]:
    """Those of some variables that this process has."""
    return {name: os.environ[name] for name in names if name in os.environ}
