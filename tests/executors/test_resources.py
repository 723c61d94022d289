from __future__ import annotations

from local_runner.executors.resources import Resources, read_resources


def test_limits_are_hard_and_requests_are_what_is_reserved() -> None:
    given = read_resources({"cpu": 0.5, "memory": "256Mi", "disk": "1Gi"}, {"cpu": 2, "memory": "1G", "gpu": {"type": "x", "number": 1}})
    assert given == Resources(memory=10**9, cores=2.0, reserved_memory=256 << 20, share=0.5, gpus=1)
    assert read_resources({}, {}) == Resources()


def test_what_is_no_quantity_limits_nothing_as_on_a_cluster() -> None:
    assert read_resources({"memory": "1 G"}, {"memory": "2GB"}) == Resources()
    assert read_resources({"memory": "-1", "cpu": -1}, {"memory": "100m"}) == Resources()
