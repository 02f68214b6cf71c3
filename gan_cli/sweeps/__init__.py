"""Sweeps: many runs of one command line, their folder, their index, their course."""
