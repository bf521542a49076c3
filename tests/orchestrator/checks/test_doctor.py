"""Doctor's checks without a cluster: each failure says what to do, and none hides another check."""

import json
from pathlib import Path

import pytest

from orchestrator.checks import doctor
from orchestrator.cli.app import main


def checks(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, tuple[bool, str]]:
    with pytest.raises(SystemExit) as leaving:
        main(["doctor", "--no-ray", "--json", *arguments])
    assert leaving.value.code == 3
    return {check["name"]: (check["ok"], check["message"]) for check in json.loads(capsys.readouterr().out)["checks"]}


@pytest.mark.parametrize("uri", ["http://h:99999", "http://[::1", "foo"])
def test_a_tracking_address_that_is_none_is_one_failed_check(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = checks(capsys, "--tracking-uri", uri, "--root", str(tmp_path))
    assert [name for name, (ok, _) in found.items() if not ok] == ["tracking"]
    assert "--tracking-uri" in found["tracking"][1]


def test_a_root_that_nobody_can_write_is_named_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    found = checks(capsys, "--root", "/proc/nope")
    assert [name for name, (ok, _) in found.items() if not ok] == ["storage"]
    assert found["storage"][1].startswith("/proc cannot be written")
    assert "--root" in found["storage"][1]


def test_what_no_check_foresees_is_told_and_costs_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> str:
        raise KeyError("gpu")

    monkeypatch.setattr(doctor, "_machine", broken)
    found = checks(capsys, "--root", str(tmp_path))
    assert found.pop("machine") == (False, "KeyError: 'gpu'")
    assert all(ok for ok, _ in found.values())
