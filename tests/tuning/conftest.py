"""Studies whose trials are pretended: the real search, processes and files, no training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from studying import LINE, Study

from gan_cli.tuning import trial
from gan_cli.tuning.plan import StudyPlan, plan_of, prepare_folder
from gan_cli.tuning.study import need_optuna, open_study


@pytest.fixture(scope="session")
def base() -> StudyPlan:
    return plan_of(LINE)


@pytest.fixture
def study(base: StudyPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Makes a study that will try given values, one trial each: (lr, d_steps) ..."""
    pytest.importorskip("optuna", reason="gan-tune needs the extra `tune`")
    monkeypatch.setattr(trial, "TRAIN", "pretended_training")
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.chdir(tmp_path)
    need_optuna()

    def make(*values: tuple[float, int], direction: str = base.direction, **tune: Any) -> StudyPlan:
        changed = base.tune.model_copy(update={"trials": len(values), **tune})
        plan = replace(base, tune=changed, direction=direction, folder=tmp_path / "study")
        plan = prepare_folder(plan)
        opened = open_study(plan)
        for rate, steps in values:
            opened.enqueue_trial({"optimizer.lr": rate, "model.d_steps": steps})
        return plan

    return make
