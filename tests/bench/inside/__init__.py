"""What runs in the container: the subjects, their targets and clients, and the measures."""
