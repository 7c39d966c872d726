"""Servers that misbehave on purpose, each mode one small function, and a ruler for probes.

`python -m tests.hostile` measures every mode and prints the README's table.
"""
