"""The model card beside exported files: what was trained, on what, how good it is, how to load it.

Mitchell et al. 2019, "Model Cards for Model Reporting", with the header that the Hugging Face hub
reads.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gan_cli
from gan_cli import foreign
from gan_cli.config.settings import to_yaml
from gan_cli.errors import CheckpointError
from gan_cli.export.formats import Exported
from gan_cli.export.networks import Input
from gan_cli.formatting import leaves, number, show
from gan_cli.priors import Categorical, Gaussian, Prior, Product, Uniform
from gan_cli.runs.folder import RunFolder
from gan_cli.runs.load import Loaded

LICENCE = "not stated"
PROTOCOL = ("samples", "seed", "real_samples", "data", "split", "extractor", "resize")
SHOWN = ("seed", "batch_size", "optimizer", "ema", "prior", "network")
MOST = 12  # class names that are listed


@dataclass(frozen=True)
class Card:
    """What a card tells.

    Attributes:
        run: the run.
        loaded: its model.
        licence: of the weights; empty where it was not stated.
        files: of exported networks.
        weights: the safetensors file, where there is one.
        missing: why other networks have no file, a line each.
        pictures: the file with samples, where there is one.
    """

    run: RunFolder
    loaded: Loaded
    licence: str
    files: Sequence[Exported]
    weights: Path | None = None
    missing: Sequence[str] = field(default=())
    pictures: Path | None = None

    @property
    def title(self) -> str:
        """The model and its data."""
        model = self.loaded.settings.choices.get("model", type(self.loaded.model).__name__)
        return plain(f"{model} on {self.loaded.model.data.name}")

    def text(self) -> str:
        """The card in Markdown.

        Raises:
            CheckpointError: the run's evaluations are damaged.
        """
        parts = [self._header(), f"# {self.title}", self._about()]
        if self.pictures is not None:
            parts.append(f"![Samples]({self.pictures.name})")
        parts += [self._data(), self._metrics(), self._loading(), self._files(), self._settings()]
        return "\n\n".join(parts) + "\n"

    def _header(self) -> str:
        said = {
            "license": self.licence or "unknown",
            "library_name": "gan-cli",
            "tags": ["gan", self.loaded.settings.choices.get("model", "model")],
        }
        lines = (f"{key}: {json.dumps(value)}" for key, value in said.items())
        return "\n".join(["---", *lines, "---"])

    def _about(self) -> str:
        kind = "averaged (EMA)" if self.loaded.weights == "ema" else "as trained, not averaged"
        model = type(self.loaded.model).__name__
        return (
            f"A {model}, trained for {self.loaded.step:,} steps and exported by gan-cli "
            f"{gan_cli.__version__}; the weights are {kind}. Licence: "
            f"{plain(self.licence) or LICENCE}."
        )

    def _data(self) -> str:
        data = self.loaded.model.data
        shape = "x".join(map(str, data.shape))
        lines = [f"- {plain(data.name)}: {data.size:,} {data.kind} of {shape}"]
        if data.is_image:
            lines[0] += " (channels, height, width), values in [-1, 1]"
        if data.classes:
            names = ", ".join(map(plain, data.class_names[:MOST]))
            more = " ..." * (len(data.class_names) > MOST)
            lines.append(f"- {data.classes} classes, numbered from 0: {names}{more}")
        if self.loaded.fingerprint:
            lines.append(f"- fingerprint of the samples: `{plain(self.loaded.fingerprint)}`")
        return "\n".join(["## Data", "", *lines])

    def _metrics(self) -> str:
        rows = list(evaluated(self.run, self.loaded.step, self.loaded.weights))
        if not rows:
            return (
                "## Metrics\n\nThis step was not evaluated; `gan-eval RUN` before `gan-export` "
                "puts its values here."
            )
        table = ["| metric | value | better | real data | protocol |", "|---|---|---|---|---|"]
        table += [f"| {' | '.join(row)} |" for row in rows]
        note = "Real data: the same metric between two sets of real samples."
        return "\n".join(["## Metrics", "", *table, "", note])

    def _loading(self) -> str:
        parts = ["## How to load"]
        first: dict[str, Exported] = {}
        for file in self.files:
            first.setdefault(file.path.suffix, file)
        for file in first.values():
            parts.append(f"```python\n{loading(file)}\n```")
        if self.weights is not None:
            parts.append(f"```python\n{self._loading_weights(self.weights)}\n```")
            command = f"gan-train weights={self.weights.name} ..."
            parts.append(f"A training begins with these weights by `{command}`.")
        return "\n\n".join(parts)

    def _loading_weights(self, path: Path) -> str:
        model = self.loaded.model
        lines = ["import torch", "import gan_cli", "", f'model = gan_cli.load_model("{path.name}")']
        if model.prior is None:
            return "\n".join([*lines, "with torch.no_grad():", "    samples = model.sample(16)"])
        classes = ", torch.arange(16) % " + str(model.data.classes) if model.conditional else ""
        return "\n".join(
            [
                *lines,
                "z = model.prior.sample(16)",
                "with torch.no_grad():",
                f"    samples = model.generate(z{classes})  # [16, {_sizes(model.data.shape)}]",
            ]
        )

    def _files(self) -> str:
        head = "| file | holds | inputs | against the original | sha256 |"
        lines = ["## Files", "", head, f"|{'---|' * 5}"]
        for one in self.files:
            inputs = ", ".join(described(x) for x in one.network.inputs)
            check = f"within {one.difference:.0e}" if one.difference else "equal"
            lines.append(
                f"| {one.path.name} | {one.network.name}, output `{one.network.output}` | {inputs} "
                f"| {check} | {digest(one.path)} |"
            )
        if self.weights is not None:
            parts = ", ".join(name for name, _ in self.loaded.model.named_children())
            lines.append(
                f"| {self.weights.name} | weights of {parts} | | | {digest(self.weights)} |"
            )
        lines += ["", "`n` is any number of samples."]
        lines += [f"\nNo file: {plain(reason)}." for reason in self.missing]
        return "\n".join(lines)

    def _settings(self) -> str:
        settings = self.loaded.settings
        chosen = " ".join(f"{group}={option}" for group, option in settings.choices.items())
        lines = ["## Settings", "", f"All are in config.yaml. {plain(chosen)}", ""]
        for key, value in leaves(settings.model_dump()):
            if key.partition(".")[0] in SHOWN:
                lines.append(f"- `{key}`: {plain(show(value))}")
        return "\n".join(lines)


def evaluated(run: RunFolder, step: int, weights: str) -> Iterator[tuple[str, ...]]:
    """The rows of a table of a run's metrics at a step: name, value, better, baseline, protocol.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = run.evaluations / f"step_{step:08d}{'-raw' if weights == 'raw' else ''}.json"
    try:
        content = foreign.read_json(path)
    except FileNotFoundError:
        return
    try:
        for figure in content["figures"]:
            value, error, floor = (_figure(figure.get(k)) for k in ("value", "error", "floor"))
            protocol: Mapping[str, Any] = figure.get("protocol") or {}
            told = ", ".join(f"{k} {protocol[k]}" for k in PROTOCOL if k in protocol)
            yield tuple(
                map(
                    plain,
                    (
                        str(figure["name"]),
                        f"{value} ± {error}" if error else value,
                        str(figure.get("better") or ""),
                        floor,
                        told,
                    ),
                )
            )
    except (KeyError, TypeError, ValueError, AttributeError) as cause:
        raise CheckpointError(f"{path}: holds no values of metrics") from cause


def _figure(value: object) -> str:
    found = None if value is None else foreign.number(value)
    return "" if found is None or math.isnan(found) else number(found)


def loading(file: Exported) -> str:
    """Python that loads a file and runs it on random inputs."""
    network, onnx = file.network, file.path.suffix == ".onnx"
    drawn = [f"{one.name} = {_drawn(one, network.model.prior, onnx)}" for one in network.inputs]
    names = [one.name for one in network.inputs]
    if onnx:
        given = ", ".join(f'"{name}": {name}' for name in names)
        lines = ["import numpy as np", "import onnxruntime", ""]
        lines += [f'session = onnxruntime.InferenceSession("{file.path.name}")', *drawn]
        return "\n".join([*lines, f"[{network.output}] = session.run(None, {{{given}}})"])
    lines = ["import torch", "", f'network = torch.export.load("{file.path.name}").module()']
    call = f"    {network.output} = network({', '.join(names)})"
    return "\n".join([*lines, *drawn, "with torch.no_grad():", call])


def _drawn(one: Input, prior: Prior | None, onnx: bool) -> str:
    """Python for 16 values of an input."""
    if one.classes:
        return f"{'np' if onnx else 'torch'}.arange(16) % {one.classes}  # classes"
    known = Gaussian(math.prod(one.shape)) if prior is None or one.name != "z" else prior
    text = (_numpy if onnx else _torch)(known)
    if one.name != "z":  # any image will do
        text += f".reshape(16, {_sizes(one.shape)})"
    return f"{text}.astype(np.float32)" if onnx else text


def _numpy(prior: Prior) -> str:
    """NumPy for 16 latents."""
    match prior:
        case Product():
            return f"np.hstack([{', '.join(map(_numpy, prior.parts.values()))}])"
        case Categorical():
            return f"np.eye({prior.dim})[np.random.randint({prior.dim}, size=16)]"
        case Uniform():
            return f"np.random.uniform({prior.low:g}, {prior.high:g}, (16, {prior.dim}))"
    return f"np.random.randn(16, {prior.dim})"


def _torch(prior: Prior) -> str:
    """The same with torch."""
    match prior:
        case Product():
            return f"torch.hstack([{', '.join(map(_torch, prior.parts.values()))}])"
        case Categorical():
            return f"torch.eye({prior.dim})[torch.randint({prior.dim}, (16,))]"
        case Uniform():
            return f"torch.empty(16, {prior.dim}).uniform_({prior.low:g}, {prior.high:g})"
    return f"torch.randn(16, {prior.dim})"


def _sizes(shape: Sequence[int]) -> str:
    return ", ".join(map(str, shape))


def described(one: Input) -> str:
    """An input in a table."""
    if one.classes:
        return f"`{one.name}` int64 [n], below {one.classes}"
    return f"`{one.name}` float32 [n, {_sizes(one.shape)}]"


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def plain(text: str) -> str:
    """Text as it may stand in a table of Markdown: one line, without its marks."""
    line = " ".join(text.split())
    return "".join(f"\\{c}" if c in "|`<>[]*_\\" else c for c in line if c.isprintable())


def config_text(loaded: Loaded) -> str:
    """config.yaml of the checkpoint."""
    return to_yaml(loaded.settings)
