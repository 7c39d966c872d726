"""Up while the replica is less than ten seconds behind, which no check string can say."""

import json

from pingstate import HTTPResponseSnapshot, Probe, probe

LIMIT_S = 10.0


def fresh(response: HTTPResponseSnapshot) -> tuple[bool, str]:
    """Whether the lag in the JSON body is under the limit; a body without it fails the check."""
    lag = float(json.loads(response.body)["lag_seconds"])
    return response.status == 200 and lag < LIMIT_S, f"{lag:g} s behind"


def probe_lag() -> Probe:
    """The probe that PINGSTATE_PROBE names: HTTP with its deadline, and the check above."""
    return probe("http", "replica", 8080, path="/lag", check=fresh, timeout=2.0)
