"""The metrics, one kind per file."""
