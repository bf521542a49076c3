import pytest

from orchestrator.process.redact import is_secret_name, redact, redact_mapping


@pytest.mark.parametrize(
    ("given", "kept", "gone"),
    [
        ("postgresql://aib:hunter2x@db.example:5432/mlflow", "@db.example:5432/mlflow", "hunter2x"),
        ("cannot reach http://user:p@ss/w0rd@host/x", "host", "p@ss"),
        ("https://ghp_abcdef@host/repo.git", "@host/repo.git", "ghp_abcdef"),
        ("https://host/path?token=abc123&x=1", "&x=1", "abc123"),
        ("https://s3.host/k?X-Amz-Signature=deadbeef&X-Amz-Date=2026", "X-Amz-Date=2026", "deadbeef"),
        ("Authorization: Bearer eyJhbGciOi.abc-def", "Authorization", "eyJhbGciOi"),
        ("{'password': 'open sesame'}", "password", "sesame"),
        ("key AKIAABCDEFGHIJKLMNOP used", "used", "AKIAABCDEFGHIJKLMNOP"),
    ],
)
def test_redact_hides_the_secret_and_keeps_the_rest(given: str, kept: str, gone: str) -> None:
    assert gone not in redact(given)
    assert kept in redact(given)
    assert "***" in redact(given)


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:////data/runs/mlflow.db",
        "http://10.0.0.1:5000/#/experiments/1",
        "user@host said: beta=0.01",
        "num_tokens=5",
        "signature: 0a1b",
    ],
)
def test_redact_leaves_innocent_text_alone(text: str) -> None:
    assert redact(text) == text


def test_redact_leaves_out_where_an_object_is_in_memory() -> None:
    said = "NewConnectionError('<urllib3.connection.HTTPConnection object at 0x7f0a1b2c3d4e>: refused') at 0x1f"
    assert redact(said) == "NewConnectionError('<urllib3.connection.HTTPConnection object>: refused') at 0x1f"


def test_redact_is_idempotent() -> None:
    once = redact("mysql://u:pw@h/db?password=abc Bearer abcdefgh123")
    assert redact(once) == once


def test_redact_hides_values_of_secret_environment_variables_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "correct-horse")
    monkeypatch.setenv("SOME_TOKEN", "1")
    assert redact("login failed for correct-horse, 1 attempt") == "login failed for ***, 1 attempt"


def test_redact_hides_the_password_of_a_uri_that_was_given_wherever_it_appears(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:correct%2Fhorse@host:5000")
    monkeypatch.setattr("sys.argv", ["aib", "search", "--tracking-uri=http://bob:battery-staple@host"])
    assert redact("tried correct/horse, correct%2Fhorse, battery-staple at host") == "tried ***, ***, *** at host"


def test_redact_mapping_hides_values_by_the_name_of_their_key() -> None:
    given = {"optim.lr": 0.1, "db.password": "x", "API_KEY": "y", "uri": "http://a:b@h/", "num_tokens": 3}
    assert redact_mapping(given) == {
        "optim.lr": "0.1",
        "db.password": "***",
        "API_KEY": "***",
        "uri": "http://***@h/",
        "num_tokens": "3",
    }
    assert not is_secret_name("bottleneck.latent_dim")


def test_redact_leaves_the_working_directory_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PWD", "/data/runs")
    assert redact("nothing in /data/runs/studies") == "nothing in /data/runs/studies"
