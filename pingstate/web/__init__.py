"""The HTTP API over a Monitor."""
