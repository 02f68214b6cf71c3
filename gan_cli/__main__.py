"""`python -m gan_cli COMMAND ...`: each command by its short name."""

from __future__ import annotations

import importlib
import sys

COMMANDS = {  # module, function, what it does
    "train": ("train", "main", "train a model, or several (gan-train)"),
    "sample": ("sample", "main", "draw samples from a run (gan-sample)"),
    "translate": ("translate", "main", "translate images by a run (gan-translate)"),
    "eval": ("evaluate", "main", "evaluate runs (gan-eval)"),
    "report": ("report", "main", "compare runs (gan-report)"),
    "watch": ("report", "watch", "compare runs while they train (gan-watch)"),
    "runs": ("runs", "main", "list, find, tag, compare and remove runs (gan-runs)"),
    "tune": ("tune", "main", "search for good settings (gan-tune)"),
}


def main() -> None:
    """Run the command that is named first; exits with its status."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in COMMANDS:
        module, function, _ = COMMANDS[name]
        del sys.argv[1]
        getattr(importlib.import_module(f"gan_cli.commands.{module}"), function)()
    else:
        from gan_cli.exits import program

        program(lambda: answer(name))


def answer(word: str) -> int:
    """Print the commands or the version; the exit status.

    Raises:
        ConfigError: the word is no command.
    """
    import gan_cli

    if word in ("-h", "--help"):
        print("Usage: python -m gan_cli COMMAND ...\n")
        for name, (_, _, text) in COMMANDS.items():
            print(f"  {name:11}{text}")
        print("\npython -m gan_cli COMMAND --help shows its options.")
    elif word == "--version":
        print(f"gan_cli {gan_cli.__version__}")
    else:
        from gan_cli.errors import ConfigError
        from gan_cli.formatting import hint

        near = hint(word.removeprefix("gan-"), COMMANDS)
        raise ConfigError(f"{word}: unknown command{near}; available: {', '.join(COMMANDS)}")
    return 0


if __name__ == "__main__":
    main()
