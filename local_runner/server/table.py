"""Which calls there are: the handler of each, or why it is refused. Every other call is unknown here, as it is to an older cluster."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from local_runner.server import (
    admin,
    branches,
    commits,
    datums,
    debug,
    defaults,
    file_sets,
    files,
    health,
    jobs,
    logs,
    metadata,
    pipelines,
    projects,
    reflection,
    repos,
    secrets,
    templates,
    transactions,
)
from local_runner.server.call import Handler

PFS: Mapping[str, Handler] = {
    "AddFileSet": file_sets.add_file_set,
    "CheckStorage": admin.check_storage,
    "ClearCommit": commits.clear_commit,
    "ComposeFileSet": file_sets.compose_file_set,
    "CreateBranch": branches.create_branch,
    "CreateFileSet": file_sets.create_file_set,
    "CreateProject": projects.create_project,
    "CreateRepo": repos.create_repo,
    "DeleteAll": admin.delete_all_pfs,
    "DeleteBranch": branches.delete_branch,
    "DeleteProject": projects.delete_project,
    "DeleteRepo": repos.delete_repo,
    "DeleteRepos": repos.delete_repos,
    "DiffFile": files.diff_file,
    "DropCommit": commits.drop_commit,
    "DropCommitSet": commits.drop_commit_set,
    "FindCommits": commits.find_commits,
    "FinishCommit": commits.finish_commit,
    "Fsck": admin.fsck,
    "GetFile": files.get_file,
    "GetFileSet": file_sets.get_file_set,
    "GetFileTAR": files.get_file_tar,
    "GlobFile": files.glob_file,
    "InspectBranch": branches.inspect_branch,
    "InspectCommit": commits.inspect_commit,
    "InspectCommitSet": commits.inspect_commit_set,
    "InspectFile": files.inspect_file,
    "InspectProject": projects.inspect_project,
    "InspectProjectV2": projects.inspect_project_v2,
    "InspectRepo": repos.inspect_repo,
    "ListBranch": branches.list_branch,
    "ListCommit": commits.list_commit,
    "ListCommitSet": commits.list_commit_set,
    "ListFile": files.list_file,
    "ListProject": projects.list_project,
    "ListRepo": repos.list_repo,
    "ModifyFile": files.modify_file,
    "RenewFileSet": file_sets.renew_file_set,
    "ReposSummary": repos.repos_summary,
    "ShardFileSet": file_sets.shard_file_set,
    "SquashCommit": commits.squash_commit,
    "SquashCommitSet": commits.squash_commit_set,
    "StartCommit": commits.start_commit,
    "SubscribeCommit": commits.subscribe_commit,
    "WalkBranchProvenance": branches.walk_branch_provenance,
    "WalkBranchSubvenance": branches.walk_branch_subvenance,
    "WalkCommitProvenance": commits.walk_commit_provenance,
    "WalkCommitSubvenance": commits.walk_commit_subvenance,
    "WalkFile": files.walk_file,
}

PPS: Mapping[str, Handler] = {
    "CheckStatus": pipelines.check_status,
    "CreateDatum": datums.create_datum,
    "CreatePipeline": pipelines.create_pipeline,
    "CreatePipelineV2": pipelines.create_pipeline_v2,
    "CreateSecret": secrets.create_secret,
    "DeleteAll": admin.delete_all_pps,
    "DeleteJob": jobs.delete_job,
    "DeletePipeline": pipelines.delete_pipeline,
    "DeletePipelines": pipelines.delete_pipelines,
    "DeleteSecret": secrets.delete_secret,
    "GetClusterDefaults": defaults.get_cluster_defaults,
    "GetLogs": logs.get_logs,
    "GetProjectDefaults": defaults.get_project_defaults,
    "InspectDatum": datums.inspect_datum,
    "InspectJob": jobs.inspect_job,
    "InspectJobSet": jobs.inspect_job_set,
    "InspectPipeline": pipelines.inspect_pipeline,
    "InspectSecret": secrets.inspect_secret,
    "ListDatum": datums.list_datum,
    "ListJob": jobs.list_job,
    "ListJobSet": jobs.list_job_set,
    "ListPipeline": pipelines.list_pipeline,
    "ListSecret": secrets.list_secret,
    "PipelinesSummary": pipelines.pipelines_summary,
    "RenderTemplate": templates.render_template,
    "RerunPipeline": pipelines.rerun_pipeline,
    "RestartDatum": datums.restart_datum,
    "RunCron": pipelines.run_cron,
    "SetClusterDefaults": defaults.set_cluster_defaults,
    "SetProjectDefaults": defaults.set_project_defaults,
    "StartPipeline": pipelines.start_pipeline,
    "StopJob": jobs.stop_job,
    "StopPipeline": pipelines.stop_pipeline,
    "SubscribeJob": jobs.subscribe_job,
}

TRANSACTION: Mapping[str, Handler] = {
    "BatchTransaction": transactions.batch_transaction,
    "DeleteAll": transactions.delete_all,
    "DeleteTransaction": transactions.delete_transaction,
    "FinishTransaction": transactions.finish_transaction,
    "InspectTransaction": transactions.inspect_transaction,
    "ListTransaction": transactions.list_transaction,
    "StartTransaction": transactions.start_transaction,
}

DEBUG: Mapping[str, Handler] = {
    "Binary": debug.binary,
    "Dump": debug.dump,
    "DumpV2": debug.dump_v2,
    "GetDumpV2Template": debug.get_dump_v2_template,
    "Profile": debug.profile,
}

FILESET: Mapping[str, Handler] = {
    "ComposeFileset": file_sets.compose_fileset,
    "CreateFileset": file_sets.create_fileset,
    "ReadFileset": file_sets.read_fileset,
    "ReadFilesetCDR": file_sets.read_fileset_cdr,
    "RenewFileset": file_sets.renew_fileset,
    "ShardFileset": file_sets.shard_fileset,
}

SERVICES: Mapping[str, Mapping[str, Handler]] = {
    "admin_v2.API": {"InspectCluster": admin.inspect_cluster},
    "debug_v2.Debug": DEBUG,
    "grpc.health.v1.Health": {"Check": health.check, "Watch": health.watch},
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": reflection.server_reflection_info},
    "metadata.API": {"EditMetadata": metadata.edit_metadata},
    "pfs_v2.API": PFS,
    "pps_v2.API": PPS,
    "storage.Fileset": FILESET,
    "transaction_v2.API": TRANSACTION,
    "versionpb_v2.API": {"GetVersion": admin.get_version},
}

_PODS = "there are no pods"

# By service, or by call where only some of its service are refused. Clients match the text about the auth service.
REFUSED: Mapping[str, str] = {
    "admin_v2.API/RestartPachyderm": "there is nothing to restart; the engine starts whenever there is work",
    "auth_v2.API": "the auth service is not activated",
    "debug_v2.Debug/RunPFSLoadTest": "load tests are for clusters",
    "debug_v2.Debug/RunPFSLoadTestDefault": "load tests are for clusters",
    "debug_v2.Debug/SetLogLevel": "there is one level of logs",
    "debug_v2.Debug/Trace": "the server is not traced; Profile says where its threads are",
    "enterprise_v2.API": "there is no enterprise server, and nothing to activate",
    "identity_v2.API": "the auth service is not activated",
    "license_v2.API": "the auth service is not activated",
    "logs.API": "there is no Loki; GetLogs answers",
    "pfs_v2.API/ActivateAuth": "the auth service is not activated",
    "pfs_v2.API/ClearCache": "nothing is cached",
    "pfs_v2.API/Egress": "egress belongs to a pipeline's spec",
    "pfs_v2.API/ForgetCommit": "a commit keeps its files as long as it is there; DropCommit removes both",
    "pfs_v2.API/GetCache": "nothing is cached",
    "pfs_v2.API/ListTask": "datums are handed to workers directly, not as tasks",
    "pfs_v2.API/PutCache": "nothing is cached",
    "pjs.API": "jobs of user code outside of pipelines are not run",
    "pps_v2.API/ActivateAuth": "the auth service is not activated",
    "pps_v2.API/GetKubeEvents": f"{_PODS}, and no events about them",
    "pps_v2.API/ListTask": "datums are handed to workers directly, not as tasks",
    "pps_v2.API/QueryLoki": "there is no Loki; GetLogs answers",
    "pps_v2.API/RunLoadTest": "load tests are for clusters",
    "pps_v2.API/RunLoadTestDefault": "load tests are for clusters",
    "pps_v2.API/RunPipeline": "upstream has taken it away; RerunPipeline makes a new version",
    "pps_v2.API/UpdateJobState": "the engine alone says what becomes of a job",
    "snapshot.API": "a copy of the home's folder is a snapshot",
}


@cache
def handlers() -> Mapping[str, Handler]:
    """The handler of each call that is served, by its path."""
    return {f"{service}/{name}": handler for service, calls in SERVICES.items() for name, handler in calls.items()}


def refusal(path: str) -> str | None:
    """Why a call is refused; None for one that is not known at all."""
    return REFUSED.get(path, REFUSED.get(path.partition("/")[0]))
