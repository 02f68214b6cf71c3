"""What a run leaves: its folder, its checkpoints, and going on with it."""
