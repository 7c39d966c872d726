"""The state of the target: a schedule of checks and the state machine."""
