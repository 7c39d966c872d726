from __future__ import annotations

from tests.container.conftest import image, network

# Fixtures of the container tests that are needed here too.
__all__ = ["image", "network"]
