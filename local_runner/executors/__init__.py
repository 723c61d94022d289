"""How user code runs: in a sandbox, in containers, or as plain processes."""

EXECUTOR_VARIABLE = "LOCAL_RUNNER_EXECUTOR"  # the name of one, for whoever is not told any
