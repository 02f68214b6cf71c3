"""gan-sample: pictures from run folders, in every form; one line where there are none."""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from test_foreign import BOMB

from gan_cli.commands import sample
from gan_cli.config.instantiate import Trust, build
from gan_cli.config.settings import from_yaml
from gan_cli.ema import entries
from gan_cli.errors import CheckpointError, ConfigError
from gan_cli.evaluation.image_files import ImageFiles
from gan_cli.images import tile, to_uint8
from gan_cli.model import DataSpec
from gan_cli.runs import checkpoint, load
from gan_cli.runs.folder import RunFolder, create
from gan_cli.sampling import samples as sampling
from gan_cli.sampling.archive import class_folders
from gan_cli.sampling.codes import class_index, class_of, classes_of
from gan_cli.sampling.samples import SampleRequest

CONF = str(Path(__file__).parents[2] / "conf")
MNIST = DataSpec("mnist", (1, 28, 28), 60_000, 10, tuple("0123456789"))
COLOUR = DataSpec("animals", (3, 20, 12), 50, 3, ("cat", "dog", "2"))
POINTS = DataSpec("ring", (2,), 1000)
NETWORK = ("network=mlp", "network.width=8")


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def config(*overrides: str) -> str:
    with initialize_config_dir(CONF, version_base="1.3"):
        return OmegaConf.to_yaml(compose("train", list(overrides)), resolve=True)


def make(*overrides: str, spec: DataSpec = MNIST, name: str = "r", averages: bool = True):
    """A run of untrained weights whose average is something else."""
    text = config(*overrides)
    torch.manual_seed(0)
    model = build(from_yaml(text).model, path="model", trust=Trust(), data=spec)
    average = {key: value.detach() * 0.9 + 0.01 for key, value in entries(model.averaged()).items()}
    run = create(text, model="m", data="d", name=name)
    state = {
        "config": text,
        "model": model.state_dict(),
        "averages": average if averages else {},
        "data": load.describe_data(spec),
    }
    checkpoint.save(run.checkpoints, state, 20, keep_step=True, keep=3)
    checkpoint.save(run.checkpoints, state, 30, keep_step=False, keep=3)
    run.write_status("finished", 30)
    return run


@pytest.fixture
def run() -> RunFolder:
    return make("model=gan", *NETWORK)


@pytest.fixture
def cgan() -> RunFolder:
    return make("model=cgan", *NETWORK, spec=COLOUR)


@pytest.fixture
def infogan() -> RunFolder:
    return make("model=infogan", "network.width=4", name="info")


def call(capsys, *arguments: object, status: int = 0) -> str:
    """What the command prints: on stdout for status 0, else on stderr."""
    with pytest.raises(SystemExit) as exit_:
        sample.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert exit_.value.code == status, err
    if status:
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert "Traceback" not in err
        return err
    return out.strip()


def pixels(path: Path | str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def expected(
    run: RunFolder, n: int, wish: SampleRequest | None = None, weights: str = "ema"
) -> torch.Tensor:
    model = load.load_model(run, weights=weights, device="cpu").model
    return torch.cat(list(sampling.draw(model, n, wish)))


def test_grid_by_default(run, capsys):
    path = call(capsys, run.path)
    assert path == str(run.samples / "grid-00000030-seed0.png")
    table = tile(expected(run, 64), 8, zoom=2)[:, :, 0]
    assert np.array_equal(pixels(path), table)


def test_any_way_to_name_the_run(run, capsys):
    for path in (run.checkpoints, run.checkpoints / "last.pt", run.path.absolute()):
        assert call(capsys, path).endswith("grid-00000030-seed0.png")


def test_averaged_or_raw_weights(run, capsys):
    ema, raw = call(capsys, run.path), call(capsys, run.path, "--weights", "raw")
    assert raw == str(run.samples / "grid-00000030-seed0-raw.png")
    assert np.array_equal(pixels(raw), tile(expected(run, 64, None, "raw"), 8, zoom=2)[..., 0])
    assert not np.array_equal(pixels(ema), pixels(raw))


def test_a_run_without_averages_says_so(capsys):
    run = make("model=gan", *NETWORK, averages=False)
    assert "warning: the run has no averaged weights" in errors(run, capsys)


def test_a_config_that_was_edited_is_told(run, capsys):
    text = run.config.read_text()
    run.config.write_text(text.replace("log_every: ", "log_every: 1"))
    assert "config.yaml" not in errors(run, capsys)
    run.config.write_text(text.replace("batch_size: 64", "batch_size: 65"))
    assert "batch_size is 65 there, 64 in the checkpoint" in errors(run, capsys)


def errors(run: RunFolder, capsys) -> str:
    with pytest.raises(SystemExit) as exit_:
        sample.main([str(run.path)])
    assert exit_.value.code == 0
    return capsys.readouterr().err


def test_checkpoints(run, capsys):
    assert call(capsys, run.path, "--checkpoint", 20).endswith("grid-00000020-seed0.png")
    message = call(capsys, run.path, "--checkpoint", 25, status=2)
    assert 'no checkpoint "25" in r/checkpoints; available: last, 20' in message.replace(
        "runs/", ""
    )
    assert "best" in call(capsys, run.path, "--checkpoint", "best", status=2)


def test_config_inside_the_checkpoint_is_enough(run, capsys):
    before = pixels(call(capsys, run.path))
    run.config.unlink()
    run.status.unlink()
    assert np.array_equal(pixels(call(capsys, run.path)), before)


def test_numbered_files_are_the_grid_s_images_at_any_batch_size(run, capsys):
    out = call(capsys, run.path, "-n", 130, "--out", "a")
    assert out == "a"
    names = sorted(path.name for path in Path("a").iterdir())
    assert names == [*(f"{i:06d}.png" for i in range(130)), "samples.json"]
    call(capsys, run.path, "-n", 70, "--out", "b", "--batch-size", 7)
    images = to_uint8(expected(run, 130))[..., 0]
    for i in range(130):
        assert np.array_equal(pixels(f"a/{i:06d}.png"), images[i])
    for i in range(70):
        assert Path(f"b/{i:06d}.png").read_bytes() == Path(f"a/{i:06d}.png").read_bytes()


def test_seed(run, capsys):
    first, second = call(capsys, run.path), call(capsys, run.path, "--seed", 1)
    assert second == str(run.samples / "grid-00000030-seed1.png")
    assert not np.array_equal(pixels(first), pixels(second))
    bytes_ = Path(second).read_bytes()
    call(capsys, run.path, "--seed", 1, "--out", "again.png")
    assert Path("again.png").read_bytes() == bytes_


def test_numbered_files_do_not_mix_with_older_ones(run, capsys):
    call(capsys, run.path, "-n", 5, "--out", "a")
    wrong = call(capsys, run.path, "-n", 5, "--out", "a", "--seed", 1, status=2)
    assert "holds samples of another request (seed 0 instead of 1)" in wrong
    wrong = call(capsys, run.path, "-n", 5, "--out", "a", "--checkpoint", 20, status=2)
    assert "(step 30 instead of 20)" in wrong
    assert "holds other numbered images" in call(capsys, run.path, "-n", 3, "--out", "a", status=2)
    Path("a/samples.json").unlink()
    assert "(without samples.json)" in call(capsys, run.path, "-n", 5, "--out", "a", status=2)


def test_numbered_files_of_classes_lie_in_their_folders(cgan, capsys):
    call(capsys, cgan.path, "-n", 7, "--out", "a")
    found = ImageFiles(Path("a"))
    assert found.spec.class_names == ("2", "cat", "dog")
    names = {str(path.relative_to("a")) for path in Path("a").rglob("*.png")}
    kinds = ("cat", "dog", "2")
    assert names == {f"{kinds[i % 3]}/{i:06d}.png" for i in range(7)}
    images = to_uint8(expected(cgan, 7))
    for name in names:
        assert np.array_equal(pixels(Path("a") / name), images[int(Path(name).stem)])
    call(capsys, cgan.path, "-n", 3, "--class", "dog", "--out", "dogs")
    assert not any(path.is_dir() for path in Path("dogs").iterdir())


def test_flat_files_of_classes_have_a_table(cgan, capsys):
    call(capsys, cgan.path, "-n", 7, "--out", "a", "--flat")
    lines = Path("a/labels.csv").read_text().splitlines()
    assert lines[:4] == ["path,class", "000000.png,cat", "000001.png,dog", "000002.png,2"]
    data = ImageFiles(Path("a"))
    assert data.spec.class_names == ("2", "cat", "dog")
    assert data.targets is not None
    assert data.targets[:4].tolist() == [1, 2, 0, 1]
    assert "holds other" in call(capsys, cgan.path, "-n", 7, "--out", "a", status=2)
    call(capsys, cgan.path, "-n", 7, "--out", "b")
    assert "holds other" in call(capsys, cgan.path, "-n", 7, "--out", "b", "--flat", status=2)


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (("a/b", "c d"), ["a_b", "c d"]),
        (("Cat", "cat"), ["0_Cat", "1_cat"]),
        (("..", "a"), ["0_", "1_a"]),
        ((), ["0", "1"]),
    ],
)
def test_folders_of_classes_are_safe_and_unlike_each_other(names, folders):
    assert class_folders(DataSpec("x", (1, 4, 4), 10, 2, names)) == folders


def test_grid_into_files_and_folders(run, capsys):
    assert (
        call(capsys, run.path, "-n", 6, "--out", "x/y.png", "--columns", 3, "--zoom", 1)
        == "x/y.png"
    )
    assert pixels("x/y.png").shape == (2 * 30 + 2, 3 * 30 + 2)
    assert call(capsys, run.path, "--grid", "-n", 6, "--out", "x") == "x/grid-00000030-seed0.png"
    assert call(capsys, run.path, "--out", "z") == "z/grid-00000030-seed0.png"
    Path("dir.png").mkdir()
    assert call(capsys, run.path, "--out", "dir.png") == "dir.png/grid-00000030-seed0.png"
    for bad in ("a.jpg", "a.gif", "a.csv"):
        assert f"--out {bad}: a file" in call(capsys, run.path, "--out", bad, status=2)


def test_classes(cgan, capsys):
    table = pixels(call(capsys, cgan.path))
    assert np.array_equal(table, tile(expected(cgan, 24), 3, zoom=2))
    for text, label, name in (("dog", 1, "dog"), ("CAT", 0, "cat"), ("2", 2, "2")):
        path = call(capsys, cgan.path, "--class", text, "-n", 4)
        assert path.endswith(f"grid-00000030-seed0-class{name}.png")
        wanted = tile(expected(cgan, 4, SampleRequest(classes=(label,))), 2, zoom=2)
        assert np.array_equal(pixels(path), wanted)
    for bad in ("1", "3", "-1", "bird", "²"):
        message = call(capsys, cgan.path, f"--class={bad}", status=2)
        assert f"--class {bad}: unknown class" in message
        assert "available: cat, dog, 2" in message
    assert "did you mean dog?" in call(capsys, cgan.path, "--class", "dogg", status=2)
    path = call(capsys, cgan.path, "--class", "2,cat", "-n", 4)
    assert path.endswith("class2+cat.png")
    wanted = tile(expected(cgan, 4, SampleRequest(classes=(2, 0))), 2, zoom=2)
    assert np.array_equal(pixels(path), wanted)


def test_classes_may_be_ranges():
    digits: Any = SimpleNamespace(data=MNIST, conditional=True)
    assert classes_of("3", digits) == (3,)
    assert classes_of("7,2-4", digits) == (7, 2, 3, 4)
    animals: Any = SimpleNamespace(data=COLOUR, conditional=True)
    assert classes_of("cat-2", animals) == (0, 1, 2)
    for text, said in (("4-2", "4 comes after 2"), ("3-x", "unknown class"), ("", "unknown class")):
        with pytest.raises(ConfigError, match=said):
            classes_of(text, digits)


@pytest.mark.parametrize(
    ("text", "names", "place"),
    [
        ("a", ("A", "a"), 1),
        ("A", ("A", "a"), 0),
        ("B", ("a", "b"), 1),
        ("AB", ("aB", "Ab"), None),
        ("1", ("1", "2", "3"), 0),
        ("0", ("1", "2", "3"), None),
        ("0", ("cat", "1"), None),
        ("1", ("cat", "dog"), 1),
        ("2", ("cat", "dog"), None),
        ("2", (), 2),
        ("9" * 5000, (), None),
    ],
)
def test_a_class_is_its_exact_name_before_all_else(text, names, place):
    assert class_index(text, names, len(names) or 3) == place


def test_names_that_differ_in_case_alone_must_be_spelled():
    loaded: Any = SimpleNamespace(
        model=SimpleNamespace(
            data=SimpleNamespace(class_names=("aB", "Ab"), classes=2), conditional=True
        )
    )
    with pytest.raises(ConfigError, match=r"--class AB: is aB or Ab; write it as it is spelled"):
        class_of("AB", loaded.model)


def test_class_of_a_model_without(run, capsys):
    message = call(capsys, run.path, "--class", 3, status=2)
    assert "--class 3: this model knows no classes; model=cgan, acgan or cvae do" in message


def test_codes(infogan, run, capsys):
    path = call(capsys, infogan.path, "--code", "category=3,code1=-1.5", "-n", 4)
    assert path.endswith("grid-00000030-seed0-category=3_code1=-1.5.png")
    plain = pixels(call(capsys, infogan.path, "-n", 4))
    assert not np.array_equal(pixels(path), plain)
    assert "category from 0 to 9" in call(capsys, infogan.path, "--code", "category=10", status=2)
    assert "no codes; model=infogan" in call(capsys, run.path, "--code", "code1=1", status=2)


@pytest.mark.parametrize(
    ("overrides", "spec", "options", "n"),
    [
        ("model=gan", MNIST, (), 64),
        ("model=cgan", MNIST, (), 80),
        ("model=cgan", MNIST, ("--out", "some.npz"), 64),
        ("model=infogan", MNIST, ("--code", "category=0:9"), 80),
        ("model=gan data=ring", POINTS, (), 2000),
        ("model=gan", MNIST, ("-n", 3), 3),
    ],
)
def test_saved_latents_are_those_of_all_samples(capsys, overrides, spec, options, n):
    small = ("network.width=4",) if "infogan" in overrides else NETWORK
    run = make(*overrides.split(), *small, spec=spec)
    call(capsys, run.path, "--save-z", "z.npy", *options)
    saved = np.load("z.npy")
    assert len(saved) == n
    if not options:
        again = call(capsys, run.path, "--z", "z.npy", "--out", "again.npz")
        wanted = expected(run, n)
        with np.load(again) as images:
            first = images[images.files[0]]
        made = to_uint8(wanted) if spec.classes else wanted.numpy()
        assert np.array_equal(first, made)


def test_latents_of_a_model_without_are_refused_before_anything_is_written(capsys):
    run = make("model=rbm", "network.width=8", "network=mlp")
    message = call(capsys, run.path, "--save-z", "z.npy", status=2)
    assert message == "error: --save-z z.npy: this model decodes no latents\n"
    assert not run.samples.exists() or not any(run.samples.iterdir())


def test_points(capsys):
    run = make("model=gan", *NETWORK, "data=ring", spec=POINTS)
    path = call(capsys, run.path, "-n", 100)
    assert path == str(run.samples / "points-00000030-seed0.csv")
    lines = Path(path).read_text().split()
    assert lines[0] == "x1,x2"
    values = torch.tensor([[float(x) for x in line.split(",")] for line in lines[1:]])
    assert torch.allclose(values, expected(run, 100), rtol=1e-7, atol=0)
    assert call(capsys, run.path, "--out", "p.csv") == "p.csv"
    assert len(Path("p.csv").read_text().split()) == 2001
    picture = pixels(call(capsys, run.path))
    assert picture.shape[2] == 3
    assert len(np.unique(picture)) > 10
    call(capsys, run.path, "-n", 100, "--out", "p.npz")
    with np.load("p.npz") as kept:
        assert np.array_equal(kept["arr_0"], expected(run, 100).numpy())


def test_a_diverged_model_says_so_and_still_draws(run, capsys):
    state = checkpoint.load(run.checkpoints / "last.pt")
    state["averages"] = {key: value * torch.nan for key, value in state["averages"].items()}
    checkpoint.save(run.checkpoints, state, 30, keep_step=False, keep=3)
    with pytest.raises(SystemExit) as exit_:
        sample.main([str(run.path), "-n", "200", "--grid"])
    assert exit_.value.code == 0
    assert capsys.readouterr().err.count("warning: the model's samples are not all finite") == 1


def test_wrong_runs_are_one_line(run, tmp_path, capsys):
    newest = re.escape(str(run.path))
    assert re.search(f"RUN is required.*latest, which is {newest}", call(capsys, status=2))
    assert re.search(f"did you mean .*{newest}", call(capsys, f"{run.path}x", status=2))
    (run.checkpoints / "last.pt").write_bytes(b"PK")
    message = call(capsys, run.path, status=2)
    assert "last.pt: damaged" in message
    assert "step_00000020.pt next to it is intact" in message
    (tmp_path / "empty").mkdir()
    assert "holds config.yaml" in call(capsys, "empty", status=2)


def edited(run: RunFolder, **changes) -> RunFolder:
    state = checkpoint.load(run.checkpoints / "last.pt")
    checkpoint.save(run.checkpoints, state | changes, 30, keep_step=False, keep=3)
    return run


def test_checkpoints_that_do_not_fit_are_one_line(run, capsys):
    text = checkpoint.load(run.checkpoints / "last.pt")["config"]
    edited(run, config=text.replace("width: 8", "width: 9"))
    message = call(capsys, run.path, status=2)
    assert "its weights are not those of the model in its config" in message
    edited(run, config=text, averages={"0.x": torch.zeros(1)})
    assert "its weights are not those of the model" in call(capsys, run.path, status=2)
    for data in (None, {"name": "x"}, {"name": "x", "shape": 3, "size": 1}):
        edited(run, data=data)
        assert "holds no description of its training data" in call(capsys, run.path, status=2)


def test_the_shares_of_classes_come_back_with_the_data(run):
    spec = DataSpec("x", (2,), 10, 3, ("a", "b", "c"), (7, 0, 3))
    assert load.data_spec(load.describe_data(spec), "here").class_counts == (7, 0, 3)
    older = {k: v for k, v in load.describe_data(spec).items() if k != "class_counts"}
    assert load.data_spec(older, "here").shares == (1, 1, 1)
    for counts in ((7, 3), (7, 4, -1), (0, 0, 0), (1, 1, 10**400), "xyz", 3):
        with pytest.raises(CheckpointError, match="here: holds no description"):
            load.data_spec({**load.describe_data(spec), "class_counts": counts}, "here")


HOSTILE = {
    "a tag": ({"config": "model: !!python/name:os.system x"}, "has a tag"),
    "two documents": ({"config": "a: 1\n---\nb: 2"}, "found another document"),
    "a list": ({"config": "[1]"}, "is not a mapping of settings"),
    "a bomb of aliases": ({"config": BOMB}, "has anchors or aliases"),
    "a config of bytes": ({"config": b"a"}, "config is no str"),
    "no model": ({"model": None}, "model is missing"),
    "a model of numbers": ({"model": {"generator": 1}}, "its weights are not those"),
    "a model with odd keys": ({"model": {1: 2}}, "its weights are not those"),
    "averages in a list": ({"averages": [1]}, "averages is no dict"),
    "an average of text": ({"averages": {"generator": "x"}}, "its weights are not those"),
    "data in a list": ({"data": [1]}, "data is no dict"),
    "a negative shape": (
        {"data": {"name": "x", "shape": (1, -28, 28), "size": 9}},
        "no description",
    ),
    "a huge shape": ({"data": {"name": "x", "shape": (1, 2**40, 1), "size": 9}}, "no description"),
    "a shape of four": (
        {"data": {"name": "x", "shape": (1, 1, 1, 1), "size": 9}},
        "no description",
    ),
    "a negative size": (
        {"data": {"name": "x", "shape": (1, 28, 28), "size": -9}},
        "no description",
    ),
    "an infinite size": (
        {"data": {"name": "", "shape": (1, 2, 3), "size": 1e999}},
        "no description",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_checkpoint_of_somebody_else_is_refused_in_one_line(what, run, capsys):
    changes, reason = HOSTILE[what]
    edited(run, **changes)
    assert reason in call(capsys, run.path, status=2)


def test_a_checkpoint_with_a_negative_step_is_refused(run, capsys):
    state = checkpoint.load(run.checkpoints / "last.pt")
    torch.save(state | {"step": -1}, run.checkpoints / "last.pt")
    assert "(step is -1)" in call(capsys, run.path, status=2)


ATTACKS = ["os.system", "builtins.exec", "torch.load", "gan_cli.networks.torch.save"]


@pytest.mark.parametrize("target", ATTACKS)
def test_a_run_that_names_code_is_refused(run, capsys, target):
    text = config("model=gan", *NETWORK)
    node = OmegaConf.create(text)
    node.model = {"_target_": target, "command": "touch executed", "f": "executed"}
    edited(run, config=OmegaConf.to_yaml(node))
    assert "error: " in call(capsys, run.path, status=2)
    assert not Path("executed").exists()


OWN = """
from gan_cli.models.gan import GAN
import torch
class Mine(torch.nn.Module):
    def __init__(self, data): raise RuntimeError("built")
"""


def test_own_modules_only_when_the_user_trusts_them(run, capsys, monkeypatch):
    Path("my_own_gan.py").write_text(OWN)
    monkeypatch.setattr(sys, "path", [*sys.path])
    node = OmegaConf.create(config("model=gan", *NETWORK))
    node.model = {"_target_": "my_own_gan.Mine"}
    edited(run, config=OmegaConf.to_yaml(node))
    assert "my_own_gan" in call(capsys, run.path, status=2)
    assert "my_own_gan" not in sys.modules
    with pytest.raises(SystemExit):
        sample.main([str(run.path), "--trust", "my_own_gan"])
    assert "built" in capsys.readouterr().err


def test_samples_are_not_written_through_a_link(run, capsys):
    run.samples.rename("outside")
    run.samples.symlink_to(Path("outside").absolute())
    assert f"{run.samples}: is a link, which would lead" in call(capsys, run.path, status=2)
    assert not list(Path("outside").iterdir())


def test_full_disk_is_status_1(run, capsys, monkeypatch):
    def full(_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    assert "cannot be written: No space left on device" in call(capsys, run.path, status=1)
    assert not list(run.samples.iterdir())


@pytest.mark.parametrize("name", ["x.mp4", "x.webm", "X.MOV", "x.gif", "x.svg"])
def test_a_file_of_another_kind_is_refused_and_no_folder_made(run, capsys, name):
    said = call(capsys, run.path, "--out", name, status=2)
    assert f"--out {name}: a file must end in .png (pictures), .csv (points), " in said
    assert not Path(name).exists()


def test_output_folder_that_cannot_be_made_is_status_1(run, capsys):
    Path("file").write_text("")
    assert "cannot be written" in call(capsys, run.path, "--out", "file/x", status=1)


def test_interrupt_is_130_and_surprises_are_1(run, capsys, monkeypatch):
    def raising(error: BaseException):
        def fail(*_, **__):
            raise error

        return fail

    monkeypatch.setattr(sampling, "draw", raising(KeyboardInterrupt()))
    with pytest.raises(SystemExit) as exit_:
        sample.main([str(run.path)])
    assert exit_.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"
    monkeypatch.setattr(sampling, "draw", raising(ZeroDivisionError("two\nlines")))
    assert call(capsys, run.path, status=1) == "error: ZeroDivisionError: two lines\n"


@pytest.mark.parametrize(
    "wrong", [["-n", "0"], ["-n", "x"], ["--zoom", "-1"], ["--weights", "best"], ["--nope"]]
)
def test_wrong_options_are_2(run, capsys, wrong):
    with pytest.raises(SystemExit) as exit_:
        sample.main([str(run.path), *wrong])
    assert exit_.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_missing_device_is_one_line(run, capsys):
    missing = "cuda" if not torch.cuda.is_available() else "mps"
    assert "no such device" in call(capsys, run.path, "--device", missing, status=2)


def test_help_is_fast_and_says_the_syntax():
    code = (
        "import sys; from gan_cli.commands.sample import main\n"
        "heavy = {'torch', 'hydra', 'numpy', 'PIL', 'pydantic', 'rich'}\n"
        "try: main(['--help'])\n"
        "finally: print(heavy & set(sys.modules), file=sys.stderr)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stderr == "set()\n"
    assert "--code category=4 --code c1=-1:1:7" in shown.stdout
    assert isinstance(sample.parser(), argparse.ArgumentParser)


def test_loading_does_not_touch_the_data(run, monkeypatch):
    import gan_cli.data.mnist

    def gone(*_, **__):
        raise AssertionError("the data set was loaded")

    monkeypatch.setattr(gan_cli.data.mnist.MNIST, "__init__", gone)
    loaded = load.load_model(run, device="cpu")
    assert (loaded.step, loaded.weights, loaded.model.training) == (30, "ema", False)
    assert loaded.model.data == MNIST
    with pytest.raises(CheckpointError, match='no checkpoint "7"'):
        load.load_model(run, 7)
