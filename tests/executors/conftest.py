from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.dask_cluster import DaskCluster


@pytest.fixture(scope="package")
def dask_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A Dask cluster of two workers, for tests that leave it as it is."""
    pytest.importorskip("distributed", reason="pip install 'local_runner[dask]'")
    from tests.support.dask_cluster import dask_cluster

    with dask_cluster(tmp_path_factory.mktemp("dask")) as cluster:
        yield cluster
