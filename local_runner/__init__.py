"""Run Pachyderm pipelines on your own machine."""
