"""Processes of our commands, and the fork server that starts them fast."""
