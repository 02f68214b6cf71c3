"""`python -m gan_cli.train ...`, the older form of `python -m gan_cli train ...`."""

from gan_cli.commands.train import main

if __name__ == "__main__":
    main()
