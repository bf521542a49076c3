"""MLflow's own interface after the searches, in a real browser, signed in with an account that may read."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.tracking.mlflow.store import mlflow_client, run_page
from tests.support.mlflow_browser import Page, chromium, tab
from tests.support.mlflow_deployment import Account, Deployment
from tests.support.server_searches import MODEL, Searched

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.usefixtures("as_ann")]

Visit = Callable[[str, Callable[[Page], Awaitable[None]]], None]


@pytest.fixture(scope="module")
def browser() -> Iterator[int]:
    with chromium() as port:
        yield port


@pytest.fixture
def visit(browser: int, bob: Account, tmp_path: Path) -> Visit:
    """Opens a page in a new tab and acts on it; keeps the last screenshot."""

    def go(url: str, do: Callable[[Page], Awaitable[None]]) -> None:
        async def steps() -> None:
            async with tab(browser, bob.header) as page:
                await page.open(url)
                try:
                    await do(page)
                finally:
                    await page.picture(tmp_path / "page.png")

        asyncio.run(steps())

    return go


def test_without_an_account_the_browser_is_sent_away(deployment: Deployment, browser: int) -> None:
    async def steps() -> None:
        async with tab(browser) as page:
            await page.open(deployment.uri)
            await page.until("document.readyState === 'complete'", "an answer")
            assert "Model training" not in await page.evaluate("document.documentElement.innerText")

    asyncio.run(steps())


def test_the_experiment_shows_its_trials_under_the_study(
    deployment: Deployment, searched: dict[str, Searched], visit: Visit
) -> None:
    found = searched["left"].found
    trials = ["t00000", "t00001", *found["finalists"][0]["trials"]]
    expander = "document.querySelector('[role=row] [data-component-id*=runnamecellrenderer]')"

    async def steps(page: Page) -> None:
        await page.until_text("Model training", "left", "4 matching runs")
        closed = await page.text()
        assert not any(trial in closed for trial in trials)
        # The rows may be drawn again between the look and the click.
        await page.until(f"{expander} && ({expander}.click() || true)", "the button that opens the study's row")
        await page.until_text(*trials)

    visit(str(run_page(deployment.uri, found["mlflow"]["experiment_id"], None)), steps)


def test_a_trial_s_page_shows_metrics_parent_data_and_registered_version(
    deployment: Deployment, searched: dict[str, Searched], visit: Visit
) -> None:
    found = searched["left"].found

    async def steps(page: Page) -> None:
        await page.until_text("val_error_pct", "Parent run", "cluttered-digits", "Registered models", MODEL)
        await page.until_text(f"v{found['registered']['version']}")

    visit(_finalist_page(deployment, found), steps)


def test_an_attention_figure_is_drawn(deployment: Deployment, searched: dict[str, Searched], visit: Visit) -> None:
    image = "[...document.images].find(image => image.alt.includes('attention.png'))"

    async def steps(page: Page) -> None:
        await page.until(f"{image} && {image}.naturalWidth > 100", "the picture attention.png")

    run, setting = _finalist_page(deployment, searched["left"].found).split("?")
    visit(f"{run}/artifacts/figures/attention.png?{setting}", steps)


@pytest.mark.usefixtures("searched")
def test_the_registry_shows_the_champion(deployment: Deployment, visit: Visit) -> None:
    async def steps(page: Page) -> None:
        await page.until_text(MODEL, "Version 1", "Version 2", "champion", "aib.metric.final_val_error_pct")

    visit(f"{deployment.uri}/#/models/{MODEL}?workflowType=machine_learning", steps)


def _finalist_page(deployment: Deployment, found: dict[str, Any]) -> str:
    """Of the registered finalist."""
    experiment = found["mlflow"]["experiment_id"]
    (run,) = mlflow_client(deployment.uri).search_runs(
        [experiment], f"tags.`aib.trial` = '{found['registered']['trial']}'"
    )
    return str(run_page(deployment.uri, experiment, run.info.run_id))
