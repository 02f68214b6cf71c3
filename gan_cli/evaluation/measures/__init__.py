"""The measures, one kind per file."""
