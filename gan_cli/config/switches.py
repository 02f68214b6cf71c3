"""Options of the command line, those that begin with a dash: Hydra's, and our own --trust."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from gan_cli.config.wording import hint

# Long name: short name.
FLAGS = {
    "--help": "-h",
    "--hydra-help": "",
    "--version": "",
    "--resolve": "",
    "--run": "-r",
    "--multirun": "-m",
    "--shell-completion": "-sc",
}
VALUED = {
    "--cfg": "-c",
    "--package": "-p",
    "--config-dir": "-cd",
    "--trust": "",
}
# Options of Hydra's that would run code of a file, or take another config than ours for the root.
REFUSED = {
    "--experimental-rerun": "unpickles a file, which can run any code; use gan-train resume=RUN",
    "--config-path": "gan-train has a root config of its own; put groups into --config-dir",
    "--config-name": "gan-train has a root config of its own; put groups into --config-dir",
}
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
LONG = {short: name for name, short in {**FLAGS, **VALUED, "--info": "-i"}.items() if short}
LONG |= {"-cp": "--config-path", "-cn": "--config-name"}


@dataclass
class Words:
    """A command line sorted into options (long names, with values), the rest, and faults."""

    options: list[tuple[str, str | None]] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def __contains__(self, name: str) -> bool:
        return any(name == given for given, _ in self.options)

    def values(self, name: str) -> list[str]:
        """What was given to an option, each time."""
        return [value for given, value in self.options if given == name and value]


def read(argv: list[str]) -> Words:
    """Sort `argv`; never raises."""
    words, queue = Words(), deque(argv)
    while queue:
        word = queue.popleft()
        if not word.startswith("-"):
            words.rest.append(word)
            continue
        name, equals, text = word.partition("=")
        name, value = LONG.get(name, name), text if equals else None
        if name in FLAGS:
            words.options.append((name, None))
        elif name == "--info":
            if value is None:
                value = queue.popleft() if queue and queue[0] in INFO else "all"
            words.options.append((name, value))
        elif name in REFUSED:
            if value is None and queue:
                queue.popleft()
            words.faults.append(f"{name}: {REFUSED[name]}")
        elif name in VALUED:
            if value is None and queue:
                value = queue.popleft()
            if value:
                words.options.append((name, value))
            else:
                words.faults.append(f"{name}: needs a value")
        else:
            if value is None and queue and queue[0][:1] != "-" and "=" not in queue[0]:
                value = queue.popleft()
            words.faults.append(_unknown(name, value))
    return words


def _unknown(name: str, value: str | None) -> str:
    near = hint(name, [*FLAGS, *VALUED, "--info"], cutoff=0.75)
    key = name.lstrip("-").replace("-", "_")
    if near or not key:
        return f"{name}: no such option{near}"
    shown = "..." if value is None else value
    return f"{name}: no such option; settings are written without dashes: {key}={shown}"
