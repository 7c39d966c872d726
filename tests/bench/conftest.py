from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE) and "bench" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.container)
            # Both images may have to be built.
            item.add_marker(pytest.mark.timeout(900))
