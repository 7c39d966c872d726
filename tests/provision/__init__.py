"""What a machine needs for the demo and the tests, made ready. Standard library only."""
