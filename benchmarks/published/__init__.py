"""Published tables, run again by our own commands; see __main__.py."""
