"""A run's model beside the data that it was trained on."""

from __future__ import annotations

import inspect
import logging

from gan_cli.config.trust import resolve
from gan_cli.errors import ConfigError, DataError
from gan_cli.evaluation.metric import Options
from gan_cli.evaluation.registry import extractors
from gan_cli.evaluation.trained_model import Real, TrainedModel
from gan_cli.formatting import user_path
from gan_cli.runs.load import Loaded, of_older_folder

log = logging.getLogger(__name__)


def with_data(loaded: Loaded, chosen: Options, root: str | None = None) -> TrainedModel:
    """A loaded model beside its data; warns where the data has changed since training.

    Args:
        loaded: the model.
        chosen: how it is evaluated.
        root: the folder where the data is now; None where it has not moved.

    Raises:
        UserError: the data cannot be had, or is not of the shape that the model makes.
    """
    model, data = loaded.model, loaded.settings.data
    if root is not None:
        data = {**data, "root": _data_root(loaded, root)}
    real = Real(data, chosen.split, loaded.trust, outputs=loaded.settings.outputs)
    spec, made = real.part(chosen.split).spec, model.data
    if spec.shape != made.shape or spec.classes != made.classes:
        raise DataError(
            f"{spec.name}: its samples of shape {list(spec.shape)} in {spec.classes} classes are "
            f"not those that the run was trained on, {list(made.shape)} in {made.classes}"
        )
    if loaded.fingerprint and real.part(real.trained_on).fingerprint != loaded.fingerprint:
        perhaps = (
            ", or the older version computed its fingerprint in another way"
            if of_older_folder(loaded.settings.data)
            else ""
        )
        log.warning(f"{spec.name}: the data has changed since training{perhaps}")
    found = extractors(real, spec, model.device, chosen, loaded.trust)
    return TrainedModel(model, loaded.step, loaded.weights, chosen, real, found)


def _data_root(loaded: Loaded, root: str) -> str:
    """The folder that --data-root names.

    Raises:
        ConfigError: this data is read from no folder.
    """
    target = resolve(loaded.settings.data.get("_target_"), loaded.trust, "data")
    if "root" not in inspect.signature(target).parameters:
        raise ConfigError(f"--data-root {root}: {target.__name__} is read from no folder")
    return str(user_path(root).absolute())
