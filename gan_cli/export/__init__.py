"""Trained networks as files for other programs, with a model card."""
