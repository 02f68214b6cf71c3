"""Run folders: status, checkpoints, curves and metrics, and the model rebuilt from them."""
