"""Commands that are printed work when they are pasted."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import Any

from gan_cli.config.command_line import prepare
from gan_cli.config.settings import composed
from gan_cli.formatting import assignment, leaves, literal, shell_command, unquoted

NASTY = ["a b", "it's", 'say "x"', "(1)", "a & b", "a;b", "$HOME", "${seed}", "*", "a\\", "a\\'b"]
NASTY += ["a,b", "[x]", "{a:1}", "a=b", "a#b", "dü", "~/x", "-n", "--out", "7", "1e3", "null"]
NASTY += ["\\${x}", "a\nb", "\x1b[31mred", "!x", "a:b", " a ", "`id`", "", "\\", "'", "''", "\\\\'"]


def fuzz(count: int) -> list[str]:
    chance = random.Random(0)
    letters = "ab 7'\"\\${}()[],:=&;*~-/\nü"
    return ["".join(chance.choices(letters, k=chance.randrange(1, 9))) for _ in range(count)]


def test_a_shell_gets_the_words_back() -> None:
    words = [*NASTY, *fuzz(300), b"\xff'.png".decode(errors="surrogateescape")]
    line = shell_command("printf", r"%s\0", *words)
    found = subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout
    assert [part.decode(errors="surrogateescape") for part in found.split(b"\0")[:-1]] == words


def test_a_line_shows_no_control_characters() -> None:
    assert shell_command("gan-sample", "a\x1b[31mb\n") == r"gan-sample $'a\x1b[31mb\x0a'"


def test_plain_words_stay_plain() -> None:
    words = [
        "gan-train",
        assignment("run.dir", Path("runs/x-1/20250601-1200")),
        assignment("seed", 3),
    ]
    assert shell_command(*words) == "gan-train run.dir=runs/x-1/20250601-1200 seed=3"
    assert assignment("optimizer.betas", [0.5, 0.9]) == "optimizer.betas=[0.5,0.9]"


def test_a_path_is_no_option_and_no_home() -> None:
    assert shell_command("gan-sample", Path("-n")) == "gan-sample ./-n"
    assert assignment("resume", Path("~x")) == "resume='./~x'"


def test_hydra_reads_what_overrides_were_made_of() -> None:
    others = [None, True, 3, -0.5, [1, "a,b"], {"a": "b c"}, Path("a b/c,d")]
    values: list[Any] = [*NASTY, *fuzz(300), *others]
    config = composed(prepare([assignment(f"model.n{i}", value) for i, value in enumerate(values)]))
    found = [config.model[f"n{i}"] for i in range(len(values))]
    assert found == [str(value) if isinstance(value, Path) else value for value in values]
    texts = [value for value in values if isinstance(value, str)]
    assert [unquoted(literal(text)) for text in texts] == texts


def test_the_leaves_of_a_config_have_dotted_keys() -> None:
    config = {"seed": 1, "ema": {"decay": None, "of": {"from": [2]}}, "none": {}}
    plain = {"seed": 1, "ema.decay": None, "ema.of.from": [2]}
    assert list(leaves(config)) == list(plain.items())
    assert list(dict(leaves(config, inner=True))) == [
        *("seed", "ema", "ema.decay", "ema.of", "ema.of.from", "none")
    ]
    assert dict(leaves({"lr": 1}, "optimizer.")) == {"optimizer.lr": 1}
