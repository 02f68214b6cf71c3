"""A published table, as in its YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gan_cli.errors import ConfigError

FOLDER = Path(__file__).parent
ORDER = ("ring_grid", "stacked_mnist", "infogan", "lucic", "wgan_robustness", "cifar10")
FormName = Literal["full", "cpu"]
Overrides = list[str]


class Strict(BaseModel):
    """Frozen; unknown keys are faults."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Published(Strict):
    """One published number, in the unit of its column."""

    value: float
    deviation: float | None = None
    error: float | None = None  # standard error of the mean
    of: str = ""  # its source, if not that of the table's others


class Column(Strict):
    """A column of a table.

    Attributes:
        figure: a metric of gan-eval, with @STEP appended for a checkpoint other than the
            last, or "rank_correlation".
        statistic: the mean over runs, or how many runs pass `above`.
        scale: the shown value is this times the metric; 100 for per cent.
    """

    figure: str
    title: str
    statistic: Literal["mean", "passing"] = "mean"
    above: float | None = None
    scale: float = 1.0
    digits: int = 2


class Evaluate(Strict):
    """Arguments of `gan-eval`."""

    metrics: str
    samples: int | None = None
    split: Literal["train", "test"] = "train"
    weights: Literal["ema", "raw"] = "raw"
    checkpoints: list[str | int] = ["last"]


class Variants(Strict):
    """Settings drawn at random, the same for each row."""

    seed: int
    count: int
    choices: dict[str, list[str | int]]


class Correlation(Strict):
    """Spearman's rank correlation of two curves of metrics.jsonl.

    Between two points of `against`, `of` is averaged. `sign` -1 turns `of` over.
    """

    of: str
    against: str
    sign: Literal[1, -1] = 1


class Row(Strict):
    """One method on one data set: overrides of gan-train, and the published values."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    title: str
    train: Overrides = []
    published: dict[str, Published] = {}
    figures: list[str] | None = None  # of the columns; all where null
    evaluate: Evaluate | None = None  # instead of the table's
    varied: bool = True  # one run in each variant, where the table has variants
    instead: dict[str, str] = {}  # replaces settings of variants in this row
    correlation: Correlation | None = None
    needs: str = ""  # a missing feature; such a row is not run


class Form(Strict):
    """A way to run a table: the paper's, or shortened.

    Attributes:
        words: what is as in the paper, or what is shortened.
        rows: those that are run, each with overrides of its own; all where null.
        expect: the form's expected values, [least, most] by row and metric, as shown.
        minutes: how long it takes, in words.
        notes: known reasons why values differ from the published ones.
    """

    words: str
    seeds: list[int]
    train: Overrides = []
    rows: dict[str, Overrides] | None = None
    evaluate: Evaluate | None = None
    columns: list[Column] | None = None
    variants: Variants | None = None  # instead of the table's
    expect: dict[str, dict[str, list[float | None]]] = {}
    minutes: str = ""
    notes: list[str] = []


class Table(Strict):
    """A published table."""

    name: str
    title: str
    paper: str
    protocol: str
    differences: list[str] = []
    train: Overrides = []
    evaluate: Evaluate
    columns: list[Column]
    rows: list[Row]
    variants: Variants | None = None
    forms: dict[FormName, Form]

    def rows_of(self, form: Form) -> list[Row]:
        """The rows that `form` shows, in the table's order."""
        return [row for row in self.rows if form.rows is None or row.name in form.rows]

    def columns_of(self, form: Form, row: Row | None = None) -> list[Column]:
        """The columns that `form` shows, or those of them that apply to `row`."""
        columns = self.columns if form.columns is None else form.columns
        if row is None or row.figures is None:
            return columns
        return [column for column in columns if column.figure in row.figures]


def load(name: str, folder: Path = FOLDER) -> Table:
    """The table `name`.

    Raises:
        ConfigError: there is none, or its file is invalid.
    """
    path = folder / f"{name}.yaml"
    if not path.is_file():
        have = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
        raise ConfigError(f"{name}: no such table; available: {have}")
    try:
        table = Table.model_validate({"name": name, **_plain(path)})
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise ConfigError(f"{path}: {place}: {fault['msg']}") from error
    _check(table, path)
    return table


def _plain(path: Path) -> Mapping[str, object]:
    content = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def _check(table: Table, path: Path) -> None:
    names = [row.name for row in table.rows]
    if len(set(names)) < len(names):
        raise ConfigError(f"{path}: rows: two have the same name")
    for form_name, form in table.forms.items():
        shown = {column.figure for column in table.columns_of(form)}
        for place, named in (("rows", form.rows or {}), ("expect", form.expect)):
            for name in named:
                if name not in names:
                    raise ConfigError(f"{path}: forms.{form_name}.{place}: there is no row {name}")
        for row, figures in form.expect.items():
            for figure in set(figures) - shown:
                raise ConfigError(f"{path}: forms.{form_name}.expect.{row}: no column {figure}")
