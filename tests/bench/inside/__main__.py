"""`python -m inside everything|short ROUNDS`: each round's figures as JSON, one round a line."""

from __future__ import annotations

import json
import sys

from . import measures

for _ in range(int(sys.argv[2])):
    rows: dict[str, dict[str, float]] = {}
    for row, subject, value in getattr(measures, sys.argv[1])():
        rows.setdefault(row, {})[subject] = value
    print(json.dumps(rows), flush=True)
