"""Many Monitors in one process: `monitors.py PORT COUNT SECONDS`.

Prints the kilobytes that each of them added, and by how many milliseconds the 99th percentile of
the checks came later than an interval of one second after the one before.
"""

from __future__ import annotations

import inspect
import sys
import time
from pathlib import Path

from pingstate import Monitor, probe


class Timed:
    """A probe that remembers when it was asked."""

    def __init__(self, port: int) -> None:
        self.probe = probe("tcp", "127.0.0.1", port, timeout=5)
        self.name = self.probe.name
        self.times: list[float] = []

    def check(self):
        self.times.append(time.monotonic())
        return self.probe.check()


def private() -> int:
    """The process's own kilobytes."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def main() -> None:
    port, count, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    # The original knows no jitter.
    steady = {"jitter": 0.0} if "jitter" in inspect.signature(Monitor).parameters else {}
    with Monitor(Timed(port), interval=1.0, **steady):
        time.sleep(0.2)
    before = private()
    probes = [Timed(port) for _ in range(count)]
    monitors = []
    for each in probes:
        monitors.append(Monitor(each, interval=1.0, **steady))
        monitors[-1].start()
        time.sleep(0.9 / count)
    time.sleep(seconds)
    each = (private() - before) / count
    late = sorted(
        (after - first - 1.0) * 1000
        for timed in probes
        for first, after in zip(timed.times, timed.times[1:], strict=False)
    )
    print(each, late[len(late) * 99 // 100], flush=True)
    for monitor in monitors:
        monitor._stop.set() if hasattr(monitor, "_stop") else None
    import os

    os._exit(0)


if __name__ == "__main__":
    main()
