"""The metrics and the alerts, read by a real Prometheus."""
