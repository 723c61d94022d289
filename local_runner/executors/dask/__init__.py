"""Datums on the workers of a Dask cluster (docs/DASK.md). Nothing else imports Dask, and this only when it is asked for."""
