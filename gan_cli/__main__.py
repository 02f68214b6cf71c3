"""`gan COMMAND ...`, also as `python -m gan_cli COMMAND ...`: each command by its short name."""

from __future__ import annotations

import importlib
import sys

COMMANDS = {  # module, function, what it does
    "train": ("train", "main", "train a model, or several (gan-train)"),
    "sample": ("sample", "main", "draw samples from a run (gan-sample)"),
    "interpolate": ("interpolate", "main", "go from latent to latent (gan-interpolate)"),
    "traverse": ("traverse", "main", "sweep codes and directions (gan-traverse)"),
    "edit": ("edit", "main", "edit samples on a page in the browser (gan-edit)"),
    "neighbors": ("neighbors", "main", "show the nearest training images (gan-neighbors)"),
    "translate": ("translate", "main", "translate images by a run (gan-translate)"),
    "invert": ("invert", "main", "find latents of images, or complete images (gan-invert)"),
    "export": ("export", "main", "write a run's networks for other programs (gan-export)"),
    "score": ("score", "main", "score images by a run's discriminator (gan-score)"),
    "eval": ("evaluate", "main", "evaluate runs (gan-eval)"),
    "report": ("report", "main", "compare runs: a table and an HTML page (gan-report)"),
    "watch": ("report", "watch", "the table while runs train (gan-watch)"),
    "board": ("board", "main", "show runs in TensorBoard (gan-board)"),
    "runs": ("runs", "main", "list, find, tag, compare and remove runs (gan-runs)"),
    "tune": ("tune", "main", "search for good settings (gan-tune)"),
}


def main() -> None:
    """Run the command that is named first; exits with its status."""
    if sys.argv[1:2] == ["help"]:  # gan help train
        sys.argv[1:] = [*sys.argv[2:], "--help"]
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in COMMANDS:
        module, function, _ = COMMANDS[name]
        del sys.argv[1]
        getattr(importlib.import_module(f"gan_cli.commands.{module}"), function)()
    else:
        from gan_cli.exits import program

        program(lambda: answer(name, sys.argv[2:]))


def answer(word: str, others: list[str]) -> int:
    """Print the commands, the version or completions; the exit status.

    Raises:
        ConfigError: the word is no command.
    """
    if word in ("-h", "--help"):
        print("Usage: gan COMMAND ...\n")
        for name, (_, _, text) in COMMANDS.items():
            print(f"  {name:13}{text}")
        print("\ngan COMMAND --help explains its options. To begin with: gan train")
        print('Completion, also of the names in brackets: eval "$(gan --completion bash)", or zsh')
    elif word == "--version":
        import gan_cli

        print(f"gan {gan_cli.__version__}")
    elif word == "--completion":
        from gan_cli.commands import completion

        print(completion.answer(others, COMMANDS), end="")
    else:
        from gan_cli.errors import ConfigError
        from gan_cli.formatting import hint

        near = hint(word.removeprefix("gan-"), COMMANDS)
        raise ConfigError(f"{word}: unknown command{near}; available: {', '.join(COMMANDS)}")
    return 0


if __name__ == "__main__":
    main()
