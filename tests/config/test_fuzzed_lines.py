"""Random command lines of strange words: each is read, or refused with a message, and quickly."""

from __future__ import annotations

import random
import time

import pytest
from composing import session_of, settings_of

from gan_cli.errors import ConfigError, UserError

SEEDS = (2, 3, 7, 9, 11, 40, 41, 51)
SECONDS = 5.0  # of this process's time for a line; reading an ordinary one takes a tenth
NAMES = """
seed steps batch_size run.name run.dir resume data.root max_time evaluation.metrics checkpoint
model penalty prior data experiment loss@model.loss model@x network/x a[0] a.b.c a..b . é
prior.dim optimizer.betas model.prior prior._target_ model._target_ sweep.keys choices
hydra/launcher hydra.launcher hydra.sweeper.params hydra.mode hydra
"""
KEYS = [*NAMES.split(), "", " ", "x" * 300]
WORDS = r"""
null true 0 -1 1e999 nan 1.5k x é dcgan gan, [[]] [null] [] {} {a:1} {a:{_target_:os.system}} [ } )(
' " \ 'a \' = == %s * .. ~ ${ ${} ${x} ${seed} ${oc.select:seed} ${prior} ${model.prior} $$$$$$
${oc.env:HOME} ${oc.decode:[} ${oc.create:{a:1}} ${now:%Y} ${nothing:1} range(0,0) range(3) glob(*)
choice() choice(1,[2]) sort(3,1) int(x) tag(a) gan_cli.losses torch.optim.Adam
"""
PLAIN = [
    *WORDS.split(),
    "",
    "9" * 30,
    "9" * 5000,
    "x" * 300,
    "x" * 200_000,
    f"[{','.join(['0.5'] * 20_000)}]",
]
PLAIN += ["a\nb", "a\0b", "a\udcffb", "\x1b[31m"]


def value(some: random.Random) -> str:
    if some.random() < 0.75:
        return some.choice(PLAIN)
    inner, depth = some.choice(PLAIN), some.choice((1, 5, 15, 100, 3000))
    opening, closing = some.choice((("[", "]"), ("{a:", "}"), ("${", "}"), ("sort(", ")")))
    return opening * depth + inner + closing * depth


def word(some: random.Random) -> str:
    if some.random() < 0.05:
        return value(some)
    sign = some.choice(("", "", "", "+", "++", "~"))
    return f"{sign}{some.choice(KEYS)}={value(some)}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_strange_lines_are_read_or_refused_with_a_message(seed: int) -> None:
    some = random.Random(seed)
    for _ in range(25):
        words = [word(some) for _ in range(some.choice((1, 1, 2)))]
        shown = [w[:80] for w in words]
        begun = time.process_time()
        said = "read"
        try:
            settings_of(*words)
        except UserError as error:
            said = str(error)
        except Exception as error:
            raise AssertionError(f"{shown}: {type(error).__name__}: {str(error)[:200]}") from error
        assert said.strip(), shown
        assert max(map(len, said.splitlines())) < 1000, shown
        assert time.process_time() - begun < SECONDS, shown


@pytest.mark.parametrize("size", [2**31, 2**63 - 1, 10**30])
@pytest.mark.parametrize("key", ["network.width", "prior.dim"])
def test_sizes_that_nothing_can_have_are_refused_in_one_line(key: str, size: int) -> None:
    with pytest.raises(ConfigError) as caught:
        session_of("model=gan", "data=ring", "data.points=32", f"{key}={size}")
    assert str(caught.value) == f"{key} = {size}: is too large to be built"
