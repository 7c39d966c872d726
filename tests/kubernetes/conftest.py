from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest

from tests.container.conftest import image
from tests.kubernetes.cluster import Namespace, namespace

# A fixture of the container tests that is needed here too.
__all__ = ["image"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what wants a cluster that nobody named, and the kubelet unless it was asked for.

    Deselected, not skipped: what runs is the caller's choice and shows in the count.
    """
    out: list[pytest.Item] = []
    if not os.environ.get("KUBECONFIG"):
        out += [item for item in items if item.get_closest_marker("kubernetes")]
    if "kubelet" not in config.option.markexpr:
        out += [item for item in items if item.get_closest_marker("kubelet")]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


@pytest.fixture
def cluster() -> Iterator[Namespace]:
    with namespace() as here:
        yield here


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put what the cluster has to say beside a failure, before the namespace is deleted."""
    report = yield
    here = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and report.when in ("setup", "call") and here:
        report.sections.append((f"cluster, namespace {here.name}", here.report()))
    return report
