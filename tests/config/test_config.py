"""Every wrong setting has its message; right ones survive, also as text."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from composing import settings_of

from gan_cli.config import settings as settings_module
from gan_cli.config.catalogue import network_for_points
from gan_cli.config.command_line import prepare
from gan_cli.config.schema import Schedule, Settings
from gan_cli.config.settings import (
    composed,
    format_of,
    from_yaml,
    optimizer_settings,
    to_yaml,
    trusted,
    unused,
)
from gan_cli.errors import ConfigError
from gan_cli.models import gan

ADAM = (
    "it has lr, betas, eps, weight_decay, amsgrad, foreach, maximize, capturable, differentiable, "
    "fused, decoupled_weight_decay"
)
GAN = f"gan-train ... --help lists all {len(inspect.signature(gan.GAN).parameters) - 1}"  # not data


def refusal(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        settings_of(*overrides)
    return str(caught.value)


WRONG_VALUES = [
    # Numbers.
    ("seed=-1", "seed = -1: must be at least 0"),
    ("seed=1.5", "seed = 1.5: must be a whole number"),
    ("seed=true", "seed = true: must be a whole number"),
    ("seed=null", "seed = null: must be a whole number"),
    ("seed='3'", 'seed = "3": must be a whole number'),
    ("seed=abc", "seed = abc: must be a whole number"),
    (
        "seed=9223372036854775808",
        "seed = 9223372036854775808: must be less than 9223372036854775808",
    ),
    (f"seed={10**30}", f"seed = {10**30}: must be less than 9223372036854775808"),
    ("batch_size=0", "batch_size = 0: must be at least 1"),
    ("batch_size=[8]", "batch_size = [8]: must be a whole number"),
    ("batch_size={a:8}", "batch_size = {a:8}: must be a whole number"),
    ("batch_size.x=8", "batch_size = {x:8}: must be a whole number"),
    ("steps=0", "steps = 0: must be at least 1"),
    ("epochs=1.5", "epochs = 1.5: must be a whole number"),
    ("images=inf", "images = inf: must be a whole number"),
    ("log_every=nan", "log_every = nan: must be a whole number"),
    ("sample_every=-3", "sample_every = -3: must be at least 1"),
    ("checkpoint.every=-1", "checkpoint.every = -1: must be at least 1"),
    ("checkpoint.keep=0", "checkpoint.keep = 0: must be at least 1"),
    ("steps=1.5k1", "steps = 1.5k1: must be a whole number"),
    ("steps=.0001k", "steps = .0001k: must be a whole number"),
    ("log_every=0", "log_every = 0: must be at least 1"),
    ("prior.dim=0.1k2", "prior.dim = 0.1k2: must be a whole number"),
    ("checkpoint=3", "checkpoint = 3: must be a mapping with every, keep, minutes"),
    ("evaluation.samples=1", "evaluation.samples = 1: must be at least 2"),
    ("evaluation.split=all", "evaluation.split = all: must be train or test"),
    (
        "evaluation.metrics=[3]",
        "evaluation.metrics = [3]: must be auto, all or a list of names such as [fid,kid]",
    ),
    ("evaluation.evry=5", "evaluation.evry: unknown key (did you mean evaluation.every?)"),
    ("ema.decay=1", "ema.decay = 1: must be less than 1"),
    ("ema.decay=-.1", "ema.decay = -0.1: must be at least 0"),
    ("ema.decay=nan", "ema.decay = nan: must be finite"),
    ("prior.dim=abc", "prior.dim = abc: must be a whole number"),
    ("model.d_steps=true", "model.d_steps = true: must be a whole number"),
    ("model.d_burst=x", "model.d_burst = x: must be a whole number or null"),
    # Time and length.
    ("max_time=abc", "max_time = abc: must be a time such as 90s, 10m, 2h or 1d"),
    ("max_time=0", "max_time = 0: must be a time such as 90s, 10m, 2h or 1d"),
    ("max_time=-5m", "max_time = -5m: must be a time such as 90s, 10m, 2h or 1d"),
    ("max_time=inf", "max_time = inf: must be a time such as 90s, 10m, 2h or 1d"),
    ("max_time=true", "max_time = true: must be a time such as 90s, 10m, 2h or 1d"),
    ("max_time=[1]", "max_time = [1]: must be a time such as 90s, 10m, 2h or 1d"),
    (
        "steps=null",
        "steps = null: steps, epochs or images must say how long to train",
    ),
    # Switches and words.
    ("force=yes", "force = yes: must be true or false"),
    ("dry_run=1", "dry_run = 1: must be true or false"),
    ("runtime.compile=null", "runtime.compile = null: must be true or false"),
    ("runtime.graphs=1", "runtime.graphs = 1: must be auto, true or false"),
    ("runtime.graphs=maybe", "runtime.graphs = maybe: must be auto, true or false"),
    ("runtime.device=gpu", "runtime.device = gpu: must be auto, cpu, cuda, cuda:N or mps"),
    ("runtime.device=0", 'runtime.device = "0": must be auto, cpu, cuda, cuda:N or mps'),
    ("runtime.device=cuda:x", "runtime.device = cuda:x: must be auto, cpu, cuda, cuda:N or "),
    (
        "runtime.precision=fp23",
        "runtime.precision = fp23: must be auto, fp32, tf32 or bf16 (did you mean fp32?)",
    ),
    (
        "runtime.precision=16",
        "runtime.precision = 16: must be auto, fp32, tf32 or bf16 (did you mean bf16?)",
    ),
    ("runtime.threads=0", "runtime.threads = 0: must be at least 1"),
    ("run=foo", "run = foo: must be a mapping with root, dir, name, requeue"),
    ("run.root=null", "run.root = null: must be text"),
    ("run.name=a/b", "run.name = a/b: must be the name of a folder, without slashes"),
    ("run.name=..", "run.name = ..: must be the name of a folder, without slashes"),
    # Optimizers.
    ("optimizer.lr=-1", "optimizer.lr = -1: must be greater than 0"),
    ("optimizer.lr=0", "optimizer.lr = 0: must be greater than 0"),
    ("optimizer.lr=nan", "optimizer.lr = nan: must be finite"),
    ("optimizer.lr=inf", "optimizer.lr = inf: must be finite"),
    ("optimizer.lr=abc", "optimizer.lr = abc: must be a number"),
    ("optimizer.lr=null", "optimizer.lr = null: must be a number"),
    ("optimizer.lr=true", "optimizer.lr = true: must be a number"),
    ("optimizer.betas=[.5]", "optimizer.betas = [0.5]: must be a list of 2 numbers"),
    ("optimizer.betas=.5", "optimizer.betas = 0.5: must be a list"),
    ("optimizer.betas=[.5,1]", "optimizer.betas[1] = 1: must be less than 1"),
    ("optimizer.eps=-1", "optimizer.eps = -1: must be at least 0"),
    ("optimizer.weight_decay=-1", "optimizer.weight_decay = -1: must be at least 0"),
    ("optimizer.amsgrad=1", "optimizer.amsgrad = 1: must be true or false"),
    (
        "optimizer.schedule=cosin",
        "optimizer.schedule = cosin: must be constant, linear or cosine (did you mean cosine?)",
    ),
    ("optimizer.warmup=-1", "optimizer.warmup = -1: must be at least 0"),
    ("optimizer.warmup=1.5", "optimizer.warmup = 1.5: must be a whole number"),
    ("optimizer.clip_norm=0", "optimizer.clip_norm = 0: must be greater than 0"),
    ("optimizer.generator.lr=-1", "optimizer.generator.lr = -1: must be greater than 0"),
    (
        "optimizer.generator.schedule=x",
        "optimizer.generator.schedule = x: must be constant, linear or cosine",
    ),
    ("optimizer.generator.lr=x", "optimizer.generator.lr = x: must be a number"),
    (
        "optimizer._target_=torch.optim.Adma",
        "optimizer._target_ = torch.optim.Adma: torch.optim has no such optimizer "
        "(did you mean torch.optim.Adamax?)",
    ),
]


def together(cases: list[tuple[str, str]]) -> list[dict[str, str]]:
    """The cases in groups that one command line can hold: no key is another's, or part of it."""

    def parts(override: str) -> list[str]:
        key = override.partition("=")[0].lstrip("+").removesuffix("._target_")
        return ["length"] if key in ("steps", "epochs", "images") else key.split(".")

    groups = []
    while cases:
        group: dict[str, str] = {}
        for override, message in cases:
            mine = parts(override)
            if all(a[: len(mine)] != mine[: len(a)] for a in map(parts, group)):
                group[override] = message
        groups.append(group)
        cases = [case for case in cases if case[0] not in group]
    return groups


def check(said: str, message: str) -> None:
    assert said.startswith(message)
    if not message.endswith(("or ", "of", "has dim")):  # these continue, or more is wrong
        assert said == message


@pytest.mark.parametrize("cases", together(WRONG_VALUES), ids=lambda cases: ",".join(cases)[:40])
def test_every_wrong_value_has_its_message(cases: dict[str, str]) -> None:
    said = refusal(*cases).splitlines()
    assert len(said) == len(cases)
    for message in cases.values():
        (line,) = (line for line in said if line.startswith(message))
        check(line, message)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        # Unknown keys.
        ("stesp=5", "stesp: unknown key (did you mean steps?)"),
        ("+bogus=1", "bogus: unknown key"),
        ("modle=wgan", "modle: unknown key (did you mean model?)"),
        ("decay=.9", "decay: unknown key (did you mean ema.decay?)"),
        ("checkpoint.evry=5", "checkpoint.evry: unknown key (did you mean checkpoint.every?)"),
        ("+run.folder=x", "run.folder: unknown key"),
        ("runtime.gpu=1", "runtime.gpu: unknown key (did you mean runtime.device?)"),
        ("runtime.spin=1", "runtime.spin: unknown key"),
        ("prior.dmi=3", "prior.dmi: Gaussian has no such setting (did you mean dim?); it has dim"),
        ("+optimizer.lrr=1", f"optimizer.lrr: Adam has no such setting (did you mean lr?); {ADAM}"),
        (
            "optimizer.discriminator.lrr=1",
            f"optimizer.discriminator.lrr: Adam has no such setting (did you mean lr?); {ADAM}",
        ),
        (
            "model.conditonal=true",
            f"model.conditonal: GAN has no such setting (did you mean conditional?); {GAN}",
        ),
        (
            "loss.weight=1",
            "loss.weight: NonSaturating has no such setting (did you mean penalty.weight?); it has "
            "smoothing",
        ),
        ("prior._partial_=true", "prior._partial_: Gaussian has no such setting; it has dim"),
        (
            "run.root=",
            'run.root = "": must not be empty; a variable of the shell that is not set?',
        ),
        (
            "optimizer._target_=gan_cli.priors.Gaussian",
            "optimizer.lr: Gaussian has no such setting (it is a setting of optimizer=adam, "
            "optimizer=adam_energy or optimizer=adam_text); it has dim",
        ),
        # What is built.
        (
            "data._target_=os.system",
            "data._target_ = os.system: is not a class of gan_cli or of yours; a config cannot "
            "name it",
        ),
        (
            "loss._target_=gan_cli.losses.Hnge",
            "loss._target_ = gan_cli.losses.Hnge: gan_cli.losses has no Hnge (did you mean Hinge?)",
        ),
        ("prior.dim=???", "prior.dim: must be given, with prior.dim=..."),
        ("data=folder", "data.root: must be given, with data.root=..."),
        ("~prior", "prior: missing; choose one with prior=...; available: gaussian, uniform"),
        ("~seed", "seed: missing; give it a value with seed=..."),
        ("~prior._target_", "prior = {dim:100}: must be a mapping with _target_, the full name of"),
        (
            "model.prior.dim=5",
            "model.prior = {dim:5}: is the group prior; set prior.dim=5",
        ),
        (
            "model.prior=gaussian",
            "model.prior = gaussian: must be a Prior (a mapping with _target_)",
        ),
        (
            "model.prior=${loss}",
            "model.prior._target_ = gan_cli.losses.NonSaturating: must be a Prior, and "
            "NonSaturating is none",
        ),
        (
            "model._target_=gan_cli.priors.Gaussian",
            "model.prior: Gaussian has no such setting (it is a setting of model=aae, model=acgan "
            "or model=autoencoder); it has dim",
        ),
        # Interpolations.
        (
            "prior.dim=${sed}",
            "prior.dim = ${sed}: the config has no sed (did you mean ${seed}?)",
        ),
        (
            "prior.dim=${oc.env:NO_SUCH_VARIABLE}",
            "prior.dim = ${oc.env:NO_SUCH_VARIABLE}: Environment variable 'NO_SUCH_VARIABLE' not "
            "found",
        ),
        ("seed=${seed}", "seed = ${seed}: Recursive interpolation detected"),
        ("model.prior=${model}", "model.prior = ${model}: Interpolation to parent node detected"),
        ("seed=${nope:1}", "seed = ${nope:1}: Unsupported interpolation type nope"),
    ],
)
def test_every_wrong_setting_has_its_message(override: str, message: str) -> None:
    check(refusal(override), message)


def test_all_faults_are_in_one_message() -> None:
    wrong = ["stesp=5", "optimizer.lr=-1", "prior.dim=x", "run.name=a/b", "loss._target_=os.system"]
    assert set(refusal(*wrong, "data=folder").splitlines()) == {
        "stesp: unknown key (did you mean steps?)",
        "optimizer.lr = -1: must be greater than 0",
        "prior.dim = x: must be a whole number",  # once, and not of model.prior again
        "run.name = a/b: must be the name of a folder, without slashes",
        "loss._target_ = os.system: is not a class of gan_cli or of yours; a config cannot name it",
        "data.root: must be given, with data.root=...",
    }


def test_a_circle_of_references_ends() -> None:
    said = refusal("prior.dim=${model}").splitlines()
    assert "prior.dim.prior = ${prior}: refers to what holds it" in said
    assert "model.prior.dim = ${model}: refers to what holds it" in said


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], ("steps", 20000)),
        (["steps=5"], ("steps", 5)),
        (["epochs=5"], ("epochs", 5)),
        (["images=5"], ("images", 5)),
        (["+epochs=5", "steps=null"], ("epochs", 5)),
        (["experiment=gaussian_1d", "images=7"], ("images", 7)),
    ],
)
def test_what_the_user_says_of_the_length_wins(
    overrides: list[str], expected: tuple[str, int]
) -> None:
    settings = settings_of(*overrides)
    given = {name: getattr(settings, name) for name in ("steps", "epochs", "images")}
    assert {name: value for name, value in given.items() if value is not None} == dict([expected])


@pytest.mark.parametrize(
    ("in_file", "typed", "expected"),
    [
        ("epochs: 3", [], "epochs"),
        ("images: 3", [], "images"),
        ("epochs: 3", ["steps=9"], "steps"),
        ("epochs: 3", ["images=9"], "images"),
    ],
)
def test_a_presets_length_goes_before_the_defaults(
    tmp_path: Path, in_file: str, typed: list[str], expected: str
) -> None:
    (tmp_path / "experiment").mkdir()
    text = f"# @package _global_\n{in_file}\n"
    (tmp_path / "experiment" / "mine.yaml").write_text(text)
    settings = own(tmp_path, "experiment=mine", *typed)
    given = [n for n in ("steps", "epochs", "images") if getattr(settings, n) is not None]
    assert given == [expected]


def test_two_lengths_are_refused(tmp_path: Path) -> None:
    assert refusal("epochs=5", "steps=7") == (
        "steps = 7 and epochs = 5: only one of steps, epochs and images can say how long to train"
    )


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("max_time=1h30m", "max_time", 5400.0),
        ("max_time=90", "max_time", 90.0),
        ("max_time=null", "max_time", None),
        ("ema.decay=0", "ema", 0.0),
        ("resume=~/runs/x", "resume", str(Path("~/runs/x").expanduser())),
    ],
)
def test_settings_are_taken(override: str, key: str, value: object) -> None:
    found = getattr(settings_of(override), key)
    assert getattr(found, "decay", found) == value


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("steps=1e4", 10_000),
        ("images=1e5", 100_000),
        ("steps=10k", 10_000),
        ("steps=1.5M", 1_500_000),
        ("seed=1e3", 1000),
        ("batch_size=1e2", 100),
        ("log_every=1K", 1000),
        ("evaluation.samples=2k", 2000),
        ("checkpoint.keep=1e1", 10),
        ("runtime.threads=2.0", 2),
        ("prior.dim=1e2", 100),
        ("network.width=1k", 1000),
        ("data.size=[1e1,2e1]", [10, 20]),
        ("optimizer.warmup=2k", 2000),
        ("optimizer.generator.warmup=2k", 2000),
    ],
)
def test_whole_numbers_may_be_written_short(typed: str, read: Any) -> None:
    key = typed.partition("=")[0]
    found: Any = settings_of(typed).model_dump()
    for part in key.split("."):
        found = found[part]
    assert found == read
    assert str(found) == str(read)  # no float among them


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        (f"{key}={value}", key)
        for key in ("sample_every", "checkpoint.every", "checkpoint.minutes", "evaluation.every")
        for value in ("0", "null")
    ]
    + [("checkpoint.keep=null", "checkpoint.keep")],
)
def test_nought_and_null_switch_off(typed: str, key: str) -> None:
    found: Any = settings_of(typed).model_dump()
    for part in key.split("."):
        found = found[part]
    assert found is None


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
def test_floats_of_torch_are_floats_where_whole_numbers_are_typed(optimizer: str) -> None:
    given = ["optimizer.lr=1", "optimizer.weight_decay=0", "optimizer.generator.lr=2"]
    given += ["optimizer.betas=[0,0.99]"] if optimizer.startswith("adam") else []
    node = settings_of(f"optimizer={optimizer}", *given).optimizer
    assert str(node["lr"]) == "1.0"
    assert str(node["weight_decay"]) == "0.0"
    assert str(node["generator"]["lr"]) == "2.0"
    assert str(node.get("betas", [0.0, 0.99])) == "[0.0, 0.99]"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=vae", "loss=hinge"], ["loss=hinge: changes nothing, since vae has no loss"]),
        (
            ["model=mixture", "+network.width=8", "prior.dim=3"],
            [
                "network.width=8: changes nothing, since mixture has no network",
                "prior.dim=3: changes nothing, since mixture has no prior",
            ],
        ),
        (["model=glo", "penalty=r1"], ["penalty=r1: changes nothing, since glo has no penalty"]),
        (
            ["ema.ramp=0.05", "ema.decay=0", "film=true", "sample_every=0", "health.factor=0.1"],
            [
                "ema.ramp=0.05: changes nothing, since ema.decay = 0",
                "film=true: changes nothing, since sample_every = 0",
                "health.factor=0.1: changes nothing, since health.on_nan = stop",
            ],
        ),
        (
            ["model.ada_images=9", "model.instance_noise_steps=9", "evaluation.samples=9"],
            [
                "evaluation.samples=9: changes nothing, since evaluation.every = null",
                "model.ada_images=9: changes nothing, since model.ada_target = null",
                "model.instance_noise_steps=9: changes nothing, since model.instance_noise = 0",
            ],
        ),
        (["ema.ramp=0.05", "model.ada_images=9", "model.ada_target=0.6", "film=false"], []),
        (["model=vae", "network.width=8", "prior.dim=3"], []),
        (["model=infogan", "prior.dim=20", "loss=hinge", "penalty=r1"], []),
        (["model=vae"], []),
    ],
)
def test_settings_that_the_model_does_not_use_are_told(words: list[str], said: list[str]) -> None:
    line = prepare(words)
    config = composed(line)
    assert sorted(unused(config, line)) == sorted(said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["model=stylegan2", "optimizer=sgd", "penalty=none"],
            "penalty.every: NoPenalty has no such setting; model=stylegan2 sets it, and "
            "'~penalty.every' removes it\n"
            "penalty.rescale: NoPenalty has no such setting; model=stylegan2 sets it, and "
            "'~penalty.rescale' removes it\n"
            "optimizer.betas: SGD has no such setting; model=stylegan2 sets it, and "
            "'~optimizer.betas' removes it",
        ),
        (
            ["experiment=divergence", "optimizer=rmsprop"],
            "optimizer.betas: RMSprop has no such setting; experiment=divergence sets it, and "
            "'~optimizer.betas' removes it",
        ),
    ],
)
def test_a_setting_that_a_file_gives_to_another_option_is_called_so(
    words: list[str], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_of(*words)
    assert str(caught.value) == said
    removed = [line.partition(":")[0] for line in said.splitlines()]
    assert settings_of(*words, *(f"~{key}" for key in removed))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["optimizer.final_lr=1e-6"],
            "optimizer.final_lr = 1e-06: needs a schedule; set optimizer.schedule=linear or "
            "optimizer.schedule=cosine",
        ),
        (
            [
                *("optimizer.schedule=linear", "optimizer.generator.schedule=constant"),
                "optimizer.generator.schedule_steps=9",
            ],
            "optimizer.generator.schedule_steps = 9: needs a schedule; set "
            "optimizer.generator.schedule=linear or optimizer.generator.schedule=cosine",
        ),
        (
            ["run.dir=a", "run.name=b"],
            "run.name = b: run.dir = a is the run's folder already; leave one of them out",
        ),
    ],
)
def test_settings_that_others_leave_without_effect_are_refused(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_of(*words)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    "words",
    [
        ["optimizer.final_lr=1e-6", "optimizer.generator.schedule=cosine"],
        ["optimizer.schedule=linear", "optimizer.generator.schedule_steps=9"],
        ["optimizer.final_lr=null", "run.dir=null", "run.name=b"],
        ["resume=run", "optimizer.final_lr=1e-6"],  # whose schedule may be another
    ],
)
def test_those_that_have_one_are_not(words: list[str]) -> None:
    assert settings_of(*words)


def test_settings_are_frozen() -> None:
    settings = settings_of()
    with pytest.raises(ValueError, match="frozen"):
        settings.seed = 3  # type: ignore[misc]


def test_choices_are_noted() -> None:
    choices = settings_of("model=wgan", "prior=uniform").choices
    expected = {"model": "wgan", "loss": "wasserstein", "penalty": "weight_clip"}
    expected |= {"prior": "uniform", "optimizer": "rmsprop", "data": "mnist", "network": "dcgan"}
    assert choices == expected | {"runtime": "auto"}


def own(folder: Path, *overrides: str) -> Settings:
    """Settings composed with the groups in `folder`, through Hydra's search path."""
    return settings_of(f"--config-dir={folder}", *overrides)


def test_an_own_group_may_be_taken_by_interpolation(tmp_path: Path) -> None:
    for group, text in {
        "noise": "_target_: gan_cli.priors.Gaussian\ndim: 3",
        "model": "defaults: [/noise: small, _self_]\nprior: ${noise}",
    }.items():
        (tmp_path / group).mkdir()
        (tmp_path / group / "small.yaml").write_text(text)
    (tmp_path / "model" / "small.yaml").write_text(
        "# @package _global_\ndefaults:\n  - gan@_global_\n  - /noise@noise: small\n  - _self_\n"
        "model:\n  prior: ${noise}\n"
    )
    settings = own(tmp_path, "model=small", "noise.dim=4")
    assert settings.model["prior"] == {"_target_": "gan_cli.priors.Gaussian", "dim": 4}
    assert not hasattr(settings, "noise")
    with pytest.raises(ConfigError) as caught:
        own(tmp_path, "model=small", "noise.dmi=4")
    assert str(caught.value) == (
        "noise.dmi: Gaussian has no such setting (did you mean dim?); it has dim"
    )


def test_text_and_back() -> None:
    for overrides in ([], ["model=infogan", "max_time=10m"], ["experiment=gaussian_1d"]):
        settings = settings_of(*overrides)
        text = to_yaml(settings)
        assert from_yaml(text) == settings
        assert to_yaml(from_yaml(text)) == text
        assert list(yaml.safe_load(text)) == list(Settings.model_fields)
        assert "${" not in text
        assert "&" not in text


def test_text_says_its_format_and_a_newer_one_is_refused() -> None:
    text = to_yaml(settings_of())
    assert text.startswith("# gan-cli's settings of a run, format 1\nseed: 0\n")
    assert format_of(text.partition("\n")[2]) == 1  # of the first versions
    newer = text.replace("format 1", "format 12") + "unknown: 1\n"
    with pytest.raises(ConfigError) as error:
        from_yaml(newer)
    assert str(error.value) == (
        "the run's config: its format 12 is newer than this program's 1; update gan-cli"
    )


def test_text_of_an_older_format_is_migrated(monkeypatch: pytest.MonkeyPatch) -> None:
    text = to_yaml(settings_of("seed=7")).replace("\nseed:", "\nstart:")

    def migrate(old: dict) -> dict:
        return {**{key: old[key] for key in old if key != "start"}, "seed": old["start"]}

    monkeypatch.setattr(settings_module, "FORMAT", 2)
    monkeypatch.setitem(settings_module.MIGRATIONS, 1, migrate)
    assert from_yaml(text).seed == 7


def test_text_keeps_odd_values() -> None:
    typed = ["run.name='1e5'", "optimizer.lr=1e-5", "run.root='null'", "data.root=é"]
    settings = settings_of(*typed[:3])
    assert (settings.run.name, settings.run.root, settings.optimizer["lr"]) == ("1e5", "null", 1e-5)
    assert from_yaml(to_yaml(settings)) == settings


def edited(**changes: object) -> str:
    root = yaml.safe_load(to_yaml(settings_of()))
    return yaml.safe_dump(root | changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "the run's config: cannot be read (is not YAML: "),
        ("!!python/object/apply:os.system ['x']", "the run's config: cannot be read (has a tag, "),
        ("", "the run's config is not a mapping of settings"),
        ("[1]", "the run's config is not a mapping of settings"),
        ("a: 1", "the run's config cannot be used: seed: missing; give it a value with seed=..."),
    ],
)
def test_texts_that_are_no_config(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_yaml(text)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "seed = -1: must be at least 0"),
        ({"steps": None}, "steps = null: steps, epochs or images must say how long to train"),
        (
            {"epochs": 3},
            "steps = 20000 and epochs = 3: only one of steps, epochs and images can say how long "
            "to train",
        ),
        (
            {"optimizer": {"_target_": "x", "lr": math.inf, "critic": {"lr": 0}}},
            "optimizer.lr = inf: must be finite; optimizer.critic.lr = 0: must be greater than 0",
        ),
        ({"evil": 1}, "evil: unknown key"),
        (
            {"model": None},
            "model = null: must be a mapping with _target_, the full name of a class",
        ),
    ],
)
def test_a_runs_config_is_validated(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_yaml(edited(**changes))
    assert str(caught.value) == f"the run's config cannot be used: {message}"


def test_reading_a_runs_config_imports_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = from_yaml(edited(model={"_target_": "evil.Evil", "x": "${oc.env:HOME}"}))
    assert settings.model == {"_target_": "evil.Evil", "x": "${oc.env:HOME}"}


def test_optimizer_settings_are_merged_phase_by_phase() -> None:
    node = {"_target_": "torch.optim.Adam", "lr": 1.0, "warmup": 5, "critic": {"lr": 2.0}}
    common = Schedule().model_dump() | {"_target_": "torch.optim.Adam", "warmup": 5}
    assert optimizer_settings(node, ["critic", "generator"]) == {
        "critic": common | {"lr": 2.0},
        "generator": common | {"lr": 1.0},
    }


def test_settings_of_unknown_phases_are_refused() -> None:
    node = {"_target_": "torch.optim.Adam", "critc": {"lr": 1.0}, "encoder": {"lr": 1.0}}
    with pytest.raises(ConfigError) as caught:
        optimizer_settings(node, ["critic", "generator"])
    assert str(caught.value) == (
        "optimizer.critc: no phase of that name; this model has critic, generator "
        "(did you mean critic?)\n"
        "optimizer.encoder: no phase of that name; this model has critic, generator"
    )


def test_a_user_vouches_for_the_working_directory_and_the_config_dir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_conf").mkdir()
    monkeypatch.chdir(tmp_path)
    trust = trusted(prepare(["--config-dir=my_conf", "--trust", "a.b"]), "runs")
    assert trust.modules == ("a.b",)
    assert trust.folders == (tmp_path, tmp_path / "my_conf", tmp_path)
    assert trust.refused == (tmp_path / "runs",)


def test_points_get_a_network_for_points_where_nobody_chose_one() -> None:
    assert settings_of("model=wgan", "data=ring").choices["network"] == "mlp"
    assert settings_of("model=wgan", "data=ring", "network=pacgan").choices["network"] == "pacgan"
    assert settings_of("model=wgan", "data=mnist").choices["network"] == "dcgan"
    typed = composed(prepare(["model=wgan", "data=ring", "network=dcgan"]))
    assert typed.network._target_.endswith(".DCGAN")  # refused when it is built


@pytest.mark.parametrize(
    ("chosen", "typed", "network"),
    [
        ({"data": "ring", "network": "resize"}, ["data"], "mlp"),
        ({"data": "gaussian_1d", "network": "infogan"}, ["data", "experiment"], "mlp"),
        ({"data": "ring", "network": "resize"}, ["data", "network"], None),
        ({"data": "ring", "network": "resize", "experiment": "mine"}, ["data"], None),
        ({"data": "ring", "network": "resize", "model": "mixture"}, ["data"], None),  # takes none
        ({"data": "ring", "network": "text_lstm", "model": "seqgan"}, ["data"], None),
        ({"data": "ring", "network": "pacgan"}, ["data"], None),
        ({"data": "ring", "network": "users_own"}, ["data"], None),
        ({"data": "mnist", "network": "resize"}, ["data"], None),
        ({"data": "nosuch", "network": "resize"}, ["data"], None),
    ],
)
def test_only_a_models_default_gives_way(chosen, typed: list[str], network: str | None) -> None:
    assert network_for_points({"model": "gan", **chosen}, typed, []) == network
