"""Metrics of predictions, on arrays; nothing here knows a network."""
