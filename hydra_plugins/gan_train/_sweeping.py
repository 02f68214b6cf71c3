"""The base of our launchers: turns Hydra's jobs into a request of `gan_cli.sweeps`."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

if TYPE_CHECKING:
    from gan_cli.config.schema import Settings
    from gan_cli.sweeps.launch import Backend


log = logging.getLogger(__name__)
MANY = 30  # jobs, whose settings take seconds to compose


class SweepLauncher(Launcher):
    """Hands all jobs to `gan_cli.sweeps`, which runs each as a `gan-train` of its own."""

    @abstractmethod
    def backend(self) -> Backend:
        """How jobs are run.

        Raises:
            ConfigError: they cannot be, with these settings.
        """

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        from gan_cli.console import setup_logging

        setup_logging(None)
        self.context, self.config = hydra_context, config
        compose_once(hydra_context.config_loader)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        from gan_cli.sweeps.launch import Request, run

        fixed, swept = self._overrides()
        sweep, folder = self.config.sweep, self.config.sweep.dir
        run(
            Request(
                self._settings,
                job_overrides,
                fixed,
                swept,
                Path(self.config.run.root).expanduser(),
                None if folder is None else Path(folder).expanduser(),
                sweep.name,
                sweep.retry_failed,
                self.config.dry_run,
            ),
            self.backend(),
        )
        return []

    def _overrides(self) -> tuple[list[str], list[str]]:
        """The overrides that all jobs share, and the keys that take several values."""
        from hydra.core.override_parser.overrides_parser import OverridesParser

        params = self.config.hydra.sweeper.get("params") or {}
        texts = [f"{key}={value}" for key, value in params.items()]
        texts += self.config.hydra.overrides.task
        fixed: dict[str, str] = {}
        swept: dict[str, None] = {}
        for override in OverridesParser.create().parse_overrides(texts):
            key = override.get_key_element().lstrip("+")
            fixed.pop(key, None)
            swept.pop(key, None)
            if override.is_sweep_override():
                swept[key] = None
            else:
                fixed[key] = f"{key}={override.get_value_element_as_str()}"
        return list(fixed.values()), list(swept)

    def _settings(self, overrides: Sequence[str]) -> Settings:
        from hydra.core.hydra_config import HydraConfig

        from gan_cli.config.command_line import prepare
        from gan_cli.config.hydra_errors import explain
        from gan_cli.config.settings import read
        from gan_cli.errors import ConfigError
        from gan_cli.sweeps.launch import command, job_options

        line = prepare([*job_options(command.get()), *overrides])
        try:
            config = self.context.config_loader.load_sweep_config(self.config, list(overrides))
        except Exception as error:
            message = explain(error)
            if message is None:
                raise
            raise ConfigError(message) from error
        HydraConfig.instance().set_config(config)
        with open_dict(config):
            del config["hydra"]
        return read(config, line)


def compose_once(loader: ConfigLoader) -> None:
    """Cache what the sweeper composes as a check, for the launcher to use.

    Where there is much to compose, a line says that it takes a while.
    """
    compose = loader.load_sweep_config
    kept: dict[tuple[str, ...], DictConfig] = {}

    def load(master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        key = tuple(sweep_overrides)
        if key in kept:
            return kept.pop(key)
        kept[key] = compose(master_config, sweep_overrides)
        if len(kept) == MANY:
            log.info("checking the settings of all jobs first ...")
        return kept[key]

    loader.load_sweep_config = load
