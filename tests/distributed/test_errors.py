"""An error of one rank ends all of them; what the first rank finds, all have."""

from __future__ import annotations

from pathlib import Path

import pytest
from together import ended, start

from gan_cli.distributed.join import joined
from gan_cli.distributed.ranks import ALONE
from gan_cli.errors import ConfigError
from gan_cli.exits import INTERRUPTED, WRONG_INPUT, RunFailedError, status_of


def work(folder: Path, failing: int, error: BaseException) -> None:
    with joined("cpu") as ranks:
        assert ranks.share(f"rank {ranks.rank}") == "rank 0"
        try:
            with ranks.sharing_errors():
                if ranks.rank == failing:
                    raise error
        except BaseException as raised:
            own = isinstance(raised, RunFailedError)
            status = raised.status if own else status_of(raised)
            text = f"{type(raised).__name__} {raised} {status}"
            (folder / f"{ranks.rank}.txt").write_text(text)
            raise SystemExit(3) from raised


@pytest.mark.parametrize(
    ("failing", "error", "first", "second"),
    [
        (0, ConfigError("no"), f"ConfigError no {WRONG_INPUT}", f"RunFailedError no {WRONG_INPUT}"),
        (1, ConfigError("no"), "UserError rank 1: no 1", f"RunFailedError no {WRONG_INPUT}"),
        (
            *(0, KeyboardInterrupt("SIGTERM"), f"KeyboardInterrupt SIGTERM {INTERRUPTED}"),
            f"RunFailedError KeyboardInterrupt: SIGTERM {INTERRUPTED}",
        ),
    ],
    ids=["first", "other", "signal"],
)
def test_all_end_with_the_error_of_one(
    tmp_path: Path, failing: int, error: BaseException, first: str, second: str
) -> None:
    assert ended(start(2, work, tmp_path, failing, error)) == [3, 3]
    assert [(tmp_path / f"{rank}.txt").read_text() for rank in (0, 1)] == [first, second]


def test_a_process_by_itself_raises_its_own() -> None:
    assert ALONE.share(5) == 5
    with pytest.raises(ConfigError, match="no"), ALONE.sharing_errors():
        raise ConfigError("no")
