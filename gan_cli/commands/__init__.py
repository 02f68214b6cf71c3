"""Commands, one a file: `gan-train` and the others, and `python -m gan_cli`."""
