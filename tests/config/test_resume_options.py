"""What a command that goes on with a run is composed on top of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gan_cli.config.command_line import prepare
from gan_cli.config.resume import on_top_of, resumed
from gan_cli.config.settings import composed, read, settings_of, to_yaml
from gan_cli.errors import ConfigError

ITS_OWN = ("model=vae", "batch_size=32", "data=ring")
RUN = to_yaml(settings_of(*ITS_OWN))


def continued(*words: str, text: str = RUN):
    line = on_top_of(prepare(["resume=runs/a", *words]), text)
    return read(composed(line), line)


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["resume=runs/a"], "runs/a"),
        (["resume=x", "resume='runs/a b'"], "runs/a b"),
        (["++resume=~/runs/a"], str(Path("~/runs/a").expanduser())),
        (["resume=null"], None),
        (["model.resume=runs/a", "steps=3"], None),
    ],
)
def test_which_run(words: list[str], path: str | None) -> None:
    assert resumed(prepare(words)) == path


def test_a_setting_is_one_of_the_run_s_own_option() -> None:
    settings = continued("model.importance=5")
    assert (settings.choices["model"], settings.model["importance"]) == ("vae", 5)
    assert continued("network.width=7").choices["model"] == "dcgan"  # which nobody asks for


def test_an_option_chosen_anew_is_taken_with_the_run_s_shared_values() -> None:
    text = to_yaml(settings_of("model=glo", "batch_size=32", "model.lap1=3"))
    model = continued("model=glo", "model.l2=2", text=text).model
    assert (model["batch_size"], model["l2"], model["lap1"]) == (32, 2, 1)
    assert continued("batch_size=16", "model.l2=2", text=text).model["batch_size"] == 16


def test_what_an_option_must_be_told_is_no_fault_where_the_run_knows_it() -> None:
    text = to_yaml(settings_of("data=folder", "data.root=there"))
    settings = continued("data.size=32", text=text)
    assert (settings.choices["data"], settings.data["size"]) == ("folder", 32)


def test_also_in_an_option_made_from_another(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text("defaults: [folder, _self_]\nsize: 16\n")
    text = re.sub(r"\bdata: ring", "data: mine", RUN)
    settings = continued("--config-dir", str(tmp_path), "data.size=32", text=text)
    assert (settings.choices["data"], settings.data["size"]) == ("mine", 32)


def test_what_the_run_s_option_does_not_know_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.d_steps: VAE has no such setting"):
        continued("model.d_steps=2")


def test_an_option_that_is_not_to_be_found_changes_nothing() -> None:
    text = re.sub(r"\bmodel: vae", "model: mygan", RUN)
    assert continued("model.d_steps=3", text=text).choices["model"] == "dcgan"


EVIL = "{_target_: evil.Evil}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1, 2",
        "- 1",
        "when: 2024-13-45",
        "choices: 3",
        "choices: {prior: 3}",
        "choices: {prior: [uniform]}",
        "choices: {prior: ../model/gan}",
        "choices: {prior: 'uniform,gaussian'}",
        f"choices: {{prior: '{EVIL}'}}",
        f"batch_size: '{EVIL}'",
        "seed: '${oc.env:HOME}'",
        "seed: true",
        f"prior: {{dim: '{EVIL}'}}",
    ],
)
def test_nothing_of_the_run_but_names_that_are_there_and_numbers_is_composed(text: str) -> None:
    line = prepare(["resume=runs/a", "prior.dim=7"])
    assert on_top_of(line, text) == line


@pytest.mark.parametrize(
    "written",
    [
        "defaults: [self]\n",
        "defaults: [other]\n",
        "a: &a [x, x]\nb: [*a, *a]\n",
        "[" * 900 + "]" * 900,
        "beta: ???\ndefaults: 5\n",
    ],
)
def test_an_option_that_cannot_be_read_or_includes_itself_is_left_to_hydra(
    written: str, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "self.yaml").write_text(written)
    (folder / "other.yaml").write_text("defaults: [self]\ngamma: ???\n")
    line = prepare([f"--config-dir={tmp_path}", "resume=runs/a", "model.beta=2"])
    argv = on_top_of(line, "choices: {model: self}\n").for_hydra
    opened = [word for word in argv if word.startswith("++")]
    assert "model=self" in argv
    assert ("++model.gamma=given" in opened) == (written == "defaults: [other]\n")
    assert ("++model.beta=given" in opened) == written.startswith("beta")
