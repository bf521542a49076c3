"""Section "Comparison with the paper": our and the published errors and scores, and how comparable they are."""

from orchestrator.report.page.document import MISSING, Block, Listing, Row, Table, Text, number, signed, spread
from orchestrator.report.paper.recipe_differences import differences_from_paper, field_text
from orchestrator.report.runs import ShownRun
from trainables import metrics
from trainables.config.trial import TrialConfig
from trainables.data.arrow_store import SPLITS
from trainables.evaluation import cross_domain
from trainables.metrics import cross_domain_metric
from trainables.models.traits import traits
from trainables.paper.published import published_error_pct, published_interpretability_pct

_STL10_NOTE = (
    "STL-10 and CIFAR-10 number their shared classes differently. The paper reports about 51 % error for every method. "
    "A comparison of bare label numbers gives such values, because at least 40 % are then errors; so the paper's "
    "values stand beside that reading. Compared by class name, only the monkeys, 10 % of the "
    "images, belong to no class of a CIFAR-10 model."
)


def error_blocks(run: ShownRun) -> tuple[Block, ...]:
    """Our test errors beside those of Table 1; says so if the paper has none for this model and data set."""
    model, dataset = run.config.model.name, run.config.data.name
    published = published_error_pct(model, dataset)
    rows = [
        _error_row(f"{dataset}, weights of the best validation epoch", run, "final_test_error_pct", published),
        _error_row(f"{dataset}, lowest over epochs (paper's convention)", run, "best_test_epoch_error_pct", published),
    ]
    has_stl10 = dataset == cross_domain.TRAINED_ON
    for split in SPLITS if has_stl10 else ():
        by_number, by_name = (cross_domain_metric(cross_domain.EVALUATED_ON, split, r) for r in ("index_", ""))
        on_stl10 = published_error_pct(model, f"{cross_domain.EVALUATED_ON}-{split}")
        rows.append(_error_row(f"STL10 {split} split, labels compared by number", run, by_number, on_stl10))
        rows.append(_error_row(f"STL10 {split} split, classes compared by name", run, by_name, None))
    return (
        Table(
            "paper-error",
            f"Test error of {model} (%): {_seeds(run)}, beside the paper's Table 1.",
            ("data", "ours", "paper", "difference"),
            tuple(rows),
        ),
        *((Text(_STL10_NOTE, "note"),) if has_stl10 else ()),
        *_coverage(run.config, published),
    )


def interpretability_blocks(run: ShownRun) -> tuple[Block, ...]:
    """The ten interpretability scores on test images, under two readings and with chance, beside those of Table 2."""
    model, dataset = run.config.model.name, run.config.data.name
    published = published_interpretability_pct(model, dataset)
    threshold = run.config.evaluation.interp_threshold
    if not traits(model).maps:
        return (Text(f"{model} has no spatial map, so there is no interpretability to score.", "note"),)
    if "test_interpretability_pct" not in run.mean:
        return (Text("Interpretability on test images has not been scored: only a completed trial scores it.", "note"),)
    rows = [_score_row(modification_text(name), run, name, published.get(name)) for name in metrics.MODIFICATIONS]
    known = [value for value in published.values() if value is not None]
    mean = sum(known) / len(known) if len(known) == len(metrics.MODIFICATIONS) else None
    minmax, centered = (metrics.interp_metric(metrics.INTERP_CHANCE, r) for r in ("minmax", "centered"))
    rows += [
        _row("mean of the ten", run, "interpretability_pct", "interp_centered_pct", None, mean),
        _row("chance: maps of different images", run, minmax, centered, None, None),
    ]
    unpublished = Text(f"The paper reports no interpretability of {model} on {dataset} to compare with.", "warning")
    return (
        *(() if published else (unpublished,)),
        Table(
            "scores",
            f"Interpretability of {model} on {dataset} (%): among the test images whose prediction stays the same, the "
            f"share whose map has a cosine of at least {threshold:g} with the original map; {_seeds(run)}, beside the "
            "paper's Table 2.",
            ("modification", "min-max maps", "paper", "difference", "mean-centred maps", "same prediction"),
            tuple(rows),
        ),
        Text(
            "The paper gives neither threshold nor normalisation. Min-max maps are the closest reading, so the "
            "difference is only indicative. A score near its chance level means that the maps hardly depend on the "
            "image: nearly constant maps score 100 %. Mean-centred maps have a chance level near 0.",
            "note",
        ),
    )


def _coverage(config: TrialConfig, published: float | None) -> tuple[Block, ...]:
    if published is None:
        reason = f"the paper reports no error of {config.model.name} on {config.data.name}"
        return (Text(f"Nothing here is comparable with the paper: {reason}.", "warning"),)
    validation_note = Text(
        "The paper trains on all training images and reports no validation split. Here "
        f"{field_text('data.val_images', config.data.val_images)} of them are held out to select epoch and trial.",
        "note",
    )
    changed = differences_from_paper(config)
    if not changed:
        return (
            Text("Trained and scored at the paper's full size and length, with the values of its recipe."),
            validation_note,
        )
    return (
        Text("Not trained as in the paper, so the difference does not measure a reproduction:", "warning"),
        Listing(changed),
        validation_note,
    )


def _error_row(heading: str, run: ShownRun, metric: str, published: float | None) -> Row:
    ours = run.mean.get(metric)
    cell = "not run" if ours is None else spread(ours, run.std.get(metric))
    return Row((heading, cell, number(published), _difference(ours, published)))


def _score_row(heading: str, run: ShownRun, name: str, published: float | None) -> Row:
    minmax, centered = metrics.interp_metric(name, "minmax"), metrics.interp_metric(name, "centered")
    return _row(heading, run, minmax, centered, f"{name}_consistent_pct", published)


def _row(
    heading: str, run: ShownRun, minmax: str, centered: str, consistent: str | None, published: float | None
) -> Row:
    def cell(metric: str) -> str:
        return spread(run.mean.get(f"test_{metric}"), run.std.get(f"test_{metric}"), 1)

    difference = _difference(run.mean.get(f"test_{minmax}"), published)
    last = MISSING if consistent is None else cell(consistent)
    return Row((heading, cell(minmax), number(published), difference, cell(centered), last))


def _difference(ours: float | None, published: float | None) -> str:
    return MISSING if ours is None or published is None else signed(ours - published)


def modification_text(name: str) -> str:
    """One of `metrics.MODIFICATIONS` in words, with the paper's symbols."""
    words = {"color": "colour window", "svhn": "image window", "high": "high frequencies", "low": "low frequencies"}
    kind, amount = name.removeprefix("interp_").rsplit("_", 1)
    sign = {"color": "p =", "svhn": "p =", "high": "r ≥", "low": "r <"}[kind]
    return f"{words[kind]}, {sign} {amount[1:]}"


def _seeds(run: ShownRun) -> str:
    if run.num_seeds <= 1:
        return "a single run"
    return f"mean ± standard deviation over {run.num_seeds} seeds"
