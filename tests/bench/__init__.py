"""What pingstate costs, beside its peers on the same Python: `python3 tests/run.py bench`."""
