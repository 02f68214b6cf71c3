"""The systems as in systems.yaml, and the table of their runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from omegaconf import OmegaConf
from pydantic import Field, ValidationError

from benchmarks.published.tables import Column, Evaluate, Form, Overrides, Published, Row, Strict
from benchmarks.published.tables import Table as PublishedTable
from gan_cli.errors import ConfigError

FILE = Path(__file__).parent / "systems.yaml"
SEEDS = [0, 1, 2]
Kind = Literal["points", "mnist", "own"]
POINTS = ("modes_captured", "high_quality_share")
MNIST = ("fid_classifier",)


class Shown(Strict):
    """How a metric is shown: its column's title, digits, and factor."""

    title: str
    digits: int = 2
    scale: float = 1.0


class Own(Strict):
    """A run on a system's own data.

    Attributes:
        name: behind the system's name, where it has several.
        metrics: of gan-eval.
        figures: the values that are shown.
        published: the paper's, in the unit that is shown.
        pictures: of the run's samples/ that the page shows.
    """

    name: str = "own"
    title: str
    train: Overrides
    metrics: str
    figures: list[str]
    samples: int | None = None
    checkpoints: list[str | int] = Field(default=["last"])
    published: dict[str, float] = Field(default={})
    pictures: list[str] = Field(default=[])


class System(Strict):
    """A system: its words, and the overrides of its runs beside those of their kind.

    Attributes:
        seen: what was seen in its pictures.
    """

    name: str
    title: str
    players: str
    loss: str
    paper: str
    preset: str = ""
    differs: str = ""
    points: Overrides | None = None
    mnist: Overrides | None = None
    own: list[Own] = Field(default=[])
    seen: str = ""


class Family(Strict):
    """Systems that share a page."""

    name: str
    title: str
    words: str
    systems: list[System]


class Catalogue(Strict):
    """All systems.

    Attributes:
        evaluate: of the runs on points and MNIST.
        train: overrides of all runs of a kind.
        figures: how metrics are shown.
    """

    evaluate: dict[Literal["points", "mnist"], Evaluate]
    train: dict[Kind, Overrides]
    families: list[Family]
    figures: dict[str, Shown]

    @property
    def systems(self) -> list[System]:
        """Of all families, in order."""
        return [system for family in self.families for system in family.systems]

    def table(self) -> PublishedTable:
        """Their runs as a table, with a row for each system and data set."""
        columns = [
            Column(figure=name, title=shown.title, digits=shown.digits, scale=shown.scale)
            for name, shown in self.figures.items()
        ]
        rows = [row for system in self.systems for row in self._rows(system)]
        form = Form(words="", seeds=SEEDS)
        return PublishedTable(
            name="systems",
            title="Systems",
            paper="",
            protocol="",
            evaluate=self.evaluate["points"],
            columns=columns,
            rows=rows,
            forms={"full": form},
        )

    def _rows(self, system: System) -> Iterator[Row]:
        if system.points is not None:
            for data in ("ring", "grid"):
                yield Row(
                    name=f"{system.name}_{data}",
                    title=data,
                    train=[f"data={data}", *self.train["points"], *system.points],
                    figures=list(POINTS),
                    evaluate=self.evaluate["points"],
                )
        if system.mnist is not None:
            yield Row(
                name=f"{system.name}_mnist",
                title="MNIST",
                train=[*self.train["mnist"], *system.mnist],
                figures=list(MNIST),
                evaluate=self.evaluate["mnist"],
            )
        for own in system.own:
            yield Row(
                name=f"{system.name}_{own.name}",
                title=own.title,
                train=[*self.train["own"], *own.train],
                figures=own.figures,
                published={name: Published(value=value) for name, value in own.published.items()},
                evaluate=Evaluate(
                    metrics=own.metrics,
                    samples=own.samples,
                    weights="ema",
                    checkpoints=own.checkpoints,
                ),
            )

    def pictures(self, row: str) -> list[str]:
        """The pictures of a run that the pages show, by the names of its samples/."""
        if row.endswith("_ring"):
            return ["points"]
        if row.endswith("_mnist"):
            return ["random"]
        for system in self.systems:
            for own in system.own:
                if row == f"{system.name}_{own.name}":
                    return own.pictures
        return []


def load(path: Path = FILE) -> Catalogue:
    """Read the catalogue.

    Raises:
        ConfigError: the file is invalid.
    """
    try:
        return Catalogue.model_validate(OmegaConf.to_container(OmegaConf.load(path)))
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise ConfigError(f"{path}: {place}: {fault['msg']}") from error
