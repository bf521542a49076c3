import socket
import urllib.request

import pytest
import requests

from orchestrator.process.proxy import reach_this_machine_directly

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        # Set first, so that the test's end restores them.
        for form in (name, name.upper()):
            monkeypatch.setenv(form, "")
            monkeypatch.delenv(form)


def proxied(host: str) -> bool:
    used = bool(requests.utils.get_environ_proxies(f"http://{host}:8265/api"))
    assert used is not bool(urllib.request.proxy_bypass(host)), "both clients agree"
    return used


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY"])
@pytest.mark.parametrize("excepted", [None, "", "intranet.example"])
def test_a_proxy_is_not_asked_for_this_machine(
    name: str, excepted: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, PROXY)
    if excepted is not None:
        monkeypatch.setenv("no_proxy", excepted)
    assert proxied("127.0.0.1")
    reach_this_machine_directly()
    for host in ("127.0.0.1", "localhost", own_address()):
        assert not proxied(host)
    assert proxied("outside.example")
    if excepted:
        assert not proxied(excepted)


def own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as towards_outside:
        try:
            towards_outside.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(towards_outside.getsockname()[0])


def test_without_a_proxy_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    reach_this_machine_directly()
    assert not {"no_proxy", "NO_PROXY"} & os.environ.keys()
