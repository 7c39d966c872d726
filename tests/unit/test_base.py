from __future__ import annotations

from pingstate import ProbeResult


def test_result_is_a_plain_value():
    assert ProbeResult(ok=True, latency_ms=1.0, detail="x") == ProbeResult(True, 1.0, "x")
