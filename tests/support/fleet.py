"""Simulate a fleet that starts in the same second against one target: `python -m tests.support.fleet`.

The scheduler is the product's, the clock is not: ten thousand sidecars live a few minutes in some
seconds. What is asked is how the checks spread once the first interval is over.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from dataclasses import dataclass

from pingstate.monitor.schedule import Schedule

CHECK_SECONDS = 0.01


@dataclass(frozen=True)
class Load:
    """Checks a second that reach the target after the first interval: the mean and the peak."""

    mean: float
    peak: int


def simulate(
    *, sidecars: int, interval: float, jitter: float, seconds: float, seed: int = 1
) -> Load:
    """Run every sidecar's schedule for so many simulated seconds, and count checks by second."""
    rng = random.Random(seed)
    checks: Counter[int] = Counter()
    for _ in range(sidecars):
        at = start = rng.uniform(0, 1)
        schedule = Schedule(interval, interval, jitter, start, rng.uniform)
        while at < seconds:
            checks[int(at)] += 1
            at = schedule.next(at + CHECK_SECONDS)
    # The second in which they start, and an interval of settling, are not counted.
    steady = [checks[second] for second in range(int(interval) + 1, int(seconds))]
    return Load(mean=sidecars / interval, peak=max(steady))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sidecars", type=int, default=10_000)
    parser.add_argument("--interval", type=float, default=5.0)
    parser.add_argument("--jitter", type=float, default=0.1)
    parser.add_argument("--seconds", type=float, default=120.0)
    load = simulate(**vars(parser.parse_args()))
    print(f"mean {load.mean:.0f}/s, peak {load.peak}/s, {load.peak / load.mean:.2f} times the mean")


if __name__ == "__main__":
    main()
