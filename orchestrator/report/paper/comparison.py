"""The paper's numbers beside ours, and how far the two may be compared."""

from orchestrator.report.page.document import MISSING, Block, Listing, Row, Table, Text, number, signed, spread
from orchestrator.report.runs import Subject
from orchestrator.report.tables import shown
from trainables import metrics
from trainables.config.recipes import recipe
from trainables.config.trial import TrialConfig
from trainables.data.store import SPLITS
from trainables.evaluation import cross_domain
from trainables.metrics import cross_domain_metric
from trainables.models.traits import fields_without_effect, traits
from trainables.paper.published import published_error_pct, published_interpretability_pct

_NOT_OF_THE_RESULT = frozenset(
    {
        "seed",
        "recipe",
        "evaluation.batch_size",
        "evaluation.search_attention_samples",
        "evaluation.search_latent_samples",
        "evaluation.interp_every_epochs",
        "evaluation.interp_epoch_images",
        "numerics.num_threads",
        "numerics.channels_last",
        "numerics.compile",
        "numerics.deterministic",
    }
)
"""Fields that say how a trial is run or watched, not what it learns or how it is scored."""

_STL10_NOTE = (
    "STL-10 and CIFAR-10 number their shared classes differently. The paper's figures lie near 51 % for every method, "
    "which is what a comparison of bare label numbers gives (at least 40 % are errors then), so they stand beside that "
    "reading; by class name only monkeys, 10 % of the images, are out of a CIFAR-10 model's reach."
)


def error_blocks(subject: Subject) -> tuple[Block, ...]:
    """Table 1: our test errors beside the published ones; in plain words where there is none to compare with."""
    model, dataset = subject.config.model.name, subject.config.data.name
    published = published_error_pct(model, dataset)
    rows = [
        _error_row(f"{dataset}, weights of the best validation epoch", subject, "final_test_error_pct", published),
        _error_row(
            f"{dataset}, lowest over epochs (paper's convention)", subject, "best_test_epoch_error_pct", published
        ),
    ]
    crossing = dataset == cross_domain.TRAINED_ON
    for split in SPLITS if crossing else ():
        by_number, by_name = (cross_domain_metric(cross_domain.EVALUATED_ON, split, r) for r in ("index_", ""))
        elsewhere = published_error_pct(model, f"{cross_domain.EVALUATED_ON}-{split}")
        rows.append(_error_row(f"STL10 {split} split, labels compared by number", subject, by_number, elsewhere))
        rows.append(_error_row(f"STL10 {split} split, classes compared by name", subject, by_name, None))
    return (
        Table(
            "paper-error",
            f"Test error of {model} (%): {_seeds(subject)}, beside the paper's Table 1.",
            ("data", "ours", "paper", "difference"),
            tuple(rows),
        ),
        *((Text(_STL10_NOTE, "note"),) if crossing else ()),
        *_coverage(subject.config, published),
    )


def interpretability_blocks(subject: Subject) -> tuple[Block, ...]:
    """Table 2: the ten scores on test images under two readings, with chance, beside the published ones."""
    model, dataset = subject.config.model.name, subject.config.data.name
    published = published_interpretability_pct(model, dataset)
    threshold = subject.config.evaluation.interp_threshold
    if not traits(model).maps:
        return (Text(f"{model} has no spatial map, so there is no interpretability to score.", "note"),)
    if "test_interpretability_pct" not in subject.mean:
        return (
            Text("Interpretability on test images has not been scored; it is, at the end of a full trial.", "note"),
        )
    rows = [_score_row(modification_words(name), subject, name, published.get(name)) for name in metrics.MODIFICATIONS]
    known = [value for value in published.values() if value is not None]
    mean = sum(known) / len(known) if len(known) == len(metrics.MODIFICATIONS) else None
    minmax, centered = (metrics.interp_metric(metrics.INTERP_CHANCE, r) for r in ("minmax", "centered"))
    rows += [
        _row("mean of the ten", subject, "interpretability_pct", "interp_centered_pct", None, mean),
        _row("chance: maps of different images", subject, minmax, centered, None, None),
    ]
    unpublished = Text(f"The paper reports no interpretability of {model} on {dataset}; ours stands alone.", "warning")
    return (
        *(() if published else (unpublished,)),
        Table(
            "scores",
            f"Interpretability of {model} on {dataset} (%): share of test images whose map keeps a cosine of at least "
            f"{threshold:g} among those whose prediction stays the same; {_seeds(subject)}, beside the paper's Table "
            "2.",
            ("modification", "min-max maps", "paper", "difference", "mean-centred maps", "same prediction"),
            tuple(rows),
        ),
        Text(
            "The paper gives neither threshold nor normalisation; min-max maps are the closest reading, so the "
            "difference is indicative only. A score near its chance level says that maps hardly depend on the image: "
            "nearly constant maps score 100 %. Mean-centred maps have a chance level near 0.",
            "note",
        ),
    )


def departures(config: TrialConfig) -> tuple[str, ...]:
    """Every field of a trial that bears on its result and is not as in the paper, one sentence each."""
    ours, paper = config.to_dict(), recipe("paper", config.model.name, config.data.name)
    passed_over = {*_NOT_OF_THE_RESULT, *fields_without_effect(config.model.name)}
    return tuple(
        f"{name} is {_value(name, ours[name])}; in the paper's recipe {_value(name, paper[name])}."
        for name in ours
        if name not in passed_over and _value(name, ours[name]) != _value(name, paper[name])
    )


def _coverage(config: TrialConfig, published: float | None) -> tuple[Block, ...]:
    if published is None:
        why = f"the paper reports no error of {config.model.name} on {config.data.name}"
        return (Text(f"Nothing here is comparable with the paper: {why}.", "warning"),)
    common = Text(
        "The paper trains on all training images and reports no validation split; here "
        f"{_value('data.val_images', config.data.val_images)} of them select epoch and trial.",
        "note",
    )
    changed = departures(config)
    if not changed:
        return (Text("Trained and scored at the paper's full size and length, with its values throughout."), common)
    return (
        Text("Not trained as in the paper, so the difference is no reproduction of it:", "warning"),
        Listing(changed),
        common,
    )


def _error_row(heading: str, subject: Subject, metric: str, published: float | None) -> Row:
    ours = subject.mean.get(metric)
    cell = "not run" if ours is None else spread(ours, subject.std.get(metric))
    return Row((heading, cell, number(published), _difference(ours, published)))


def _score_row(heading: str, subject: Subject, name: str, published: float | None) -> Row:
    minmax, centered = metrics.interp_metric(name, "minmax"), metrics.interp_metric(name, "centered")
    return _row(heading, subject, minmax, centered, f"{name}_consistent_pct", published)


def _row(
    heading: str, subject: Subject, minmax: str, centered: str, consistent: str | None, published: float | None
) -> Row:
    def cell(metric: str) -> str:
        return spread(subject.mean.get(f"test_{metric}"), subject.std.get(f"test_{metric}"), 1)

    difference = _difference(subject.mean.get(f"test_{minmax}"), published)
    last = MISSING if consistent is None else cell(consistent)
    return Row((heading, cell(minmax), number(published), difference, cell(centered), last))


def _difference(ours: float | None, published: float | None) -> str:
    return MISSING if ours is None or published is None else signed(ours - published)


def modification_words(name: str) -> str:
    """One of `metrics.MODIFICATIONS` in words and the paper's own letters."""
    words = {"color": "colour window", "svhn": "image window", "high": "high frequencies", "low": "low frequencies"}
    kind, amount = name.removeprefix("interp_").rsplit("_", 1)
    sign = {"color": "p =", "svhn": "p =", "high": "r ≥", "low": "r <"}[kind]
    return f"{words[kind]}, {sign} {amount[1:]}"


def _seeds(subject: Subject) -> str:
    if subject.num_seeds <= 1:
        return "a single run"
    return f"mean ± standard deviation over {subject.num_seeds} seeds"


def _value(name: str, value: object) -> str:
    if value is None:
        return "a tenth" if name == "data.val_images" else "all"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else shown(value)
