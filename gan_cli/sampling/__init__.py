"""Samples from a trained run."""
