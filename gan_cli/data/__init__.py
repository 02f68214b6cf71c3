"""Data sets: one source per file. Each is a `Dataset`: samples in memory and what they are."""
