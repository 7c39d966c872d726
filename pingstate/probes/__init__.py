"""One check of one target, and what counts as up."""
