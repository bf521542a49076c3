"""Names that mean more than a name, in every place where the command takes one: exit 2, and nothing is written."""

from pathlib import Path

import pytest

from orchestrator.cli.app import main

SPEC = """
name: {name}
trial: {{model: vgg-aib-qt, model.width: 0.0625, dataset: cluttered-digits, epochs: 2, data.image_size: 16}}
space: {{bottleneck.beta: {{power_of_ten: [1, 2]}}}}
trials: 2
registered_model: {model}
"""
# A colon and a slash alone are left to `models:/NAME` and `NAME/NUMBER`.
HOSTILE = ["../../x", "/etc/x", "a/b/c", "..", "a\0b", "A" * 300, "a\n", "\uff41\uff42", "a b", "a\\b", "a;b", "$(id)"]
DEVICES = ["CON", "nul.txt"]
VERBS = {
    "search": ["search", "SPEC", "--name", "NAME"],
    "search --resume": ["search", "SPEC", "--resume", "--set", "name=NAME"],
    "plan": ["plan", "SPEC", "--name", "NAME"],
    "train": ["train", "SPEC", "--name", "NAME"],
    "registers": ["search", "SPEC", "--set", "registered_model=NAME"],
    "status": ["status", "NAME"],
    "status there": ["status", "NAME", "--address", "http://127.0.0.1:9"],
    "watch": ["watch", "NAME"],
    "trials": ["trials", "NAME"],
    "best": ["best", "NAME"],
    "pareto": ["pareto", "NAME"],
    "report": ["report", "NAME"],
    "report of two": ["report", "good", "NAME"],
    "promote": ["promote", "NAME"],
    "pull": ["pull", "NAME", "TARGET"],
    "pull alias": ["pull", "good@NAME", "TARGET"],
    "predict": ["predict", "NAME", "image.png"],
    "evaluate": ["evaluate", "models:/NAME"],
    "evaluate alias": ["evaluate", "models:/good@NAME"],
    "evaluate a study": ["evaluate", "NAME"],
    "data prepare": ["data", "prepare", "NAME", "--from", "TARGET"],
    "data show": ["data", "show", "NAME"],
    "describe": ["describe", "vgg", "--dataset", "NAME"],
    "trains on": ["search", "SPEC", "--set", "dataset=NAME"],
    "occludes with": ["search", "SPEC", "--set", "trial.evaluation.occluder_dataset=NAME"],
}
NO_FOLDER = {"data prepare", "data show", "describe", "trains on", "occludes with", "evaluate a study"}
"""A data set's folder ends in its size, so that no name of one is a device's."""


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    # What a name that is followed would find: a data set and a study outside the root.
    for outside in (tmp_path / "x-32", tmp_path / "x-16", tmp_path / "x"):
        outside.mkdir()
        (outside / "meta.json").write_text("{}")
        (outside / "study.json").write_text("{}")


@pytest.mark.parametrize("verb", VERBS)
def test_a_name_that_is_none_is_refused(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.format(name="good", model="good"))
    before = sorted(tmp_path.rglob("*"))
    for name in [*HOSTILE, *([] if verb in NO_FOLDER else DEVICES)]:
        given = f'"{name.encode("unicode_escape").decode()}"' if "--set" in VERBS[verb] else name
        words = [
            word.replace("NAME", given).replace("SPEC", str(spec)).replace("TARGET", str(tmp_path / "target"))
            for word in VERBS[verb]
        ]
        if "--address" not in words:
            words += ["--root", str(tmp_path / "work" / "runs")]
        with pytest.raises(SystemExit) as leaving:
            main(words)
        said = capsys.readouterr()
        assert (leaving.value.code, said.out) == (2, ""), (words, said.err)
        assert "Traceback" not in said.err
        assert len(said.err) < 2000, "a name of any length is cut"
        assert sorted(tmp_path.rglob("*")) == before, words


@pytest.mark.parametrize("field", ["name", "model"])
def test_a_name_that_is_none_is_refused_in_the_file(
    field: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "spec.yaml"
    for name in [*HOSTILE, *DEVICES]:
        quoted = f'"{name.encode("unicode_escape").decode()}"'
        spec.write_text(SPEC.format(**{"name": "good", "model": "good", field: quoted}))
        with pytest.raises(SystemExit) as leaving:
            main(["search", str(spec), "--root", str(tmp_path / "work" / "runs")])
        assert leaving.value.code == 2
        assert "allowed: 1 to 64" in (said := capsys.readouterr().err) or "another name" in said
    assert not (tmp_path / "work" / "runs").exists()
