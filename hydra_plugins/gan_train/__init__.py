"""Hydra plugins of gan-train: the launchers of `-m`."""
