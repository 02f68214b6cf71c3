"""gan-train: train, compare and understand GANs from the shell."""

__version__ = "0.1.0"
