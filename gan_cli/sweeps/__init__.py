"""Sweeps: many runs of one command line, on this machine or a cluster."""
