"""The configuration: the command line, its validation, and the gate to what it names."""
