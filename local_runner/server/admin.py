"""Calls about the server and the whole home."""

from __future__ import annotations

import platform
import uuid
from collections.abc import Iterator
from functools import cache

from local_runner.server import refs
from local_runner.server.call import Call
from local_runner.server.schema import Message, new, nothing

# The version of Pachyderm whose calls these are, and the word by which it is told from a cluster.
VERSION, WORD = (2, 12, 2), "-local"
_GO_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}


def get_version(call: Call, request: Message) -> bytes:
    return _version()


@cache
def _version() -> bytes:
    found: bytes = version().SerializeToString()
    return found


def version() -> Message:
    """The version whose calls these are, and the machine."""
    major, minor, micro = VERSION
    machine = f"{platform.system().lower()}/{_GO_NAMES.get(platform.machine(), platform.machine())}"
    return new("versionpb_v2.Version", major=major, minor=minor, micro=micro, additional=WORD, platform=machine)


def inspect_cluster(call: Call, request: Message) -> Message:
    """The first thing a client asks; the id stays the same as long as the home stays where it is."""
    id = uuid.uuid5(uuid.NAMESPACE_URL, call.home.home.as_uri()).hex
    return new("admin_v2.ClusterInfo", id=id, deployment_id=id, warnings_ok=True, metadata=call.home.home_metadata())


def fsck(call: Call, request: Message) -> Iterator[Message]:
    """What is wrong with the home; with `fix` first what was mended. Files without a datum are looked for anyway."""
    if request.fix:
        for sentence in call.home.mend():
            yield new("pfs_v2.FsckResponse", fix=sentence)
    findings = call.home.fsck()
    if request.HasField("zombie_target"):
        commit = str(call.home.inspect_commit(refs.commit(request.zombie_target)).commit)
        findings = [finding for finding in findings if finding.subject == commit]
    for finding in findings:
        yield new("pfs_v2.FsckResponse", error=f"{finding.subject}: {finding.problem}")


def check_storage(call: Call, request: Message) -> Message:
    """How many contents are stored, each of which is an object here; with `read_chunk_data` each is read and compared with its hash."""
    count = call.home.check_storage(request.chunk_begin, request.chunk_end, contents=request.read_chunk_data)
    return new("pfs_v2.CheckStorageResponse", chunk_object_count=count)


def delete_all_pfs(call: Call, request: Message) -> Message:
    call.home.delete_all_repos()
    return nothing()


def delete_all_pps(call: Call, request: Message) -> Message:
    call.home.delete_all_pipelines()
    return nothing()
