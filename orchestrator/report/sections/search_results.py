"""The section on the search as a whole: what it found, where, and at what cost."""

from collections.abc import Sequence

from orchestrator.planning.trials import resolve_trial
from orchestrator.report.figures.course import (
    cost,
    hypervolume_figure,
    hypervolumes,
    rungs,
    survival_figure,
    timeline_figure,
)
from orchestrator.report.figures.importance import MIN_TRIALS, importance_figure, importances
from orchestrator.report.figures.landscape import (
    MAX_AXES,
    contour_figure,
    is_ordered,
    lies_within,
    parallel_figure,
    slices_figure,
)
from orchestrator.report.figures.looks import standing
from orchestrator.report.figures.search_figures import (
    ERROR,
    INTERP,
    best_so_far,
    history_figure,
    tradeoff_figure,
    tradeoff_front,
)
from orchestrator.report.page.document import Block, Facts, Picture, Row, Table, Text, number
from orchestrator.report.page.picture import svg_picture
from orchestrator.report.tables import short_names
from orchestrator.study.journal import TrialRecord
from orchestrator.study.study import StudyView
from search_spaces.schema import SearchSpec


def search_blocks(view: StudyView) -> tuple[Block, ...]:
    """Figures of what there is; a sentence in the place of each that cannot be drawn yet."""
    spec, search = view.spec, view.state.of_kind("search")
    reported = [record for record in search if record.history]
    if not reported:
        return (Text("No trial of a search has reported an epoch yet.", "note"), *course_blocks(view))
    return (
        _history(spec, search),
        *_tradeoff(spec, search, reported),
        *_landscape(spec, [record for record in reported if lies_within(spec, record)]),
        *_rungs(spec, search),
        *course_blocks(view),
    )


def course_blocks(view: StudyView) -> tuple[Block, ...]:
    """When the trials ran and what they cost; for a single trial as for a search."""
    spec, records = view.spec, [record for record in view.state.trials.values() if record.history]
    if not records:
        return ()
    epochs = _epochs(spec)
    spent = cost(spec, records, epochs)
    saved = 1 - spent.epochs / spent.epochs_in_full
    facts = [
        ("Epochs trained", f"{spent.epochs:,} of {spent.epochs_in_full:,} that as many full trials take"),
        ("Saved by stopping", f"{saved:.0%}"),
        ("Worker-hours", f"{spent.worker_hours:.2f} (a trial's workers times its time from first epoch to end)"),
        ("Lanes in use", "–" if spent.busy_share is None else f"{spent.busy_share:.0%} of the time"),
    ]
    ended = sum(record.ended_s is not None for record in records)
    picture = svg_picture(
        timeline_figure(records),
        "timeline",
        "When each trial ran. A lane is one place for a trial, as many as ran at a time: trials of one lane followed "
        "each other. Filled ran in full, empty was stopped early, crossed failed, dotted is running.",
        f"Timeline of {len(records)} trials, {ended} of them ended, over the time since the first began.",
    )
    return (picture, Facts(tuple(facts)))


def _history(spec: SearchSpec, search: Sequence[TrialRecord]) -> Picture:
    groups = ", ".join(f"{len(records)} {name}" for name, records in standing(spec, search).items() if records)
    best, metric = best_so_far(spec, search), spec.objectives[0].metric
    told = (
        f"The best of them goes from {best[0][1]:.4g} (trial {best[0][0]} in order) to {best[-1][1]:.4g} "
        f"(trial {best[-1][0]})."
        if best
        else "None of them may be compared yet."
    )
    return svg_picture(
        history_figure(spec, search),
        "history",
        f"Optimisation history: {metric} of each trial's best epoch in the order of their start. The line is the "
        "best so far among full-length trials within every constraint.",
        f"{metric} of {len(search)} trials: {groups}. {told}",
    )


def _tradeoff(spec: SearchSpec, search: Sequence[TrialRecord], reported: Sequence[TrialRecord]) -> tuple[Block, ...]:
    if not any(INTERP in record.outcome for record in reported):
        return (Text("Interpretability was not scored during the search, so there is no trade-off to draw.", "note"),)
    front = tradeoff_front(spec, search)
    points = "; ".join(
        f"{r.trial} at {number(r.outcome[ERROR])} % error, score {number(r.outcome[INTERP], 1)} %"
        for r in (front if len(front) <= 3 else (front[0], front[-1]))
    )
    ends = "" if len(front) <= 3 else ", of which the two ends are"
    picture = svg_picture(
        tradeoff_figure(spec, search),
        "tradeoff",
        "Validation error against mean-centred interpretability: lower right is worse, upper left is better. "
        "Only full-length trials within every constraint are on the Pareto front; stopped trials are grey.",
        f"{len(reported)} trials by error and interpretability. {len(front)} on the Pareto front{ends}"
        f"{': ' + points if front else ''}.",
    )
    if not front:
        return (picture, Text("No trial is on the front yet, so it has no hypervolume.", "note"))
    volumes = hypervolumes(spec, search)
    return (
        picture,
        svg_picture(
            hypervolume_figure(volumes),
            "hypervolume",
            "Hypervolume of that front, trial by trial: the share covered of the rectangle from 100 % error and score "
            "0 to 0 % error and score 100.",
            f"Hypervolume over {len(volumes)} trials, rising from {volumes[0]:.3f} to {volumes[-1]:.3f}.",
        ),
    )


def _landscape(spec: SearchSpec, reported: Sequence[TrialRecord]) -> tuple[Block, ...]:
    metric = spec.objectives[0].metric
    keys = [key for key, varied in spec.space.items() if varied.size != 1]
    if not keys or not reported:
        return ()
    shares = importances(spec, reported)
    ranked = [*shares, *(key for key in keys if key not in shares)]
    named = dict(zip(ranked, short_names(ranked), strict=True))
    blocks: list[Block] = []
    if shares:
        told = ", ".join(f"{named[key]} {share:.0%}" for key, share in shares.items())
        caption = f"Importance of each parameter for {metric}: its share of the variance between full-length trials."
        blocks.append(
            svg_picture(importance_figure(shares), "importance", f"{caption} Functional ANOVA, Optuna's.", told + ".")
        )
    else:
        few = f"Importance of parameters needs {MIN_TRIALS} full-length trials that differ."
        blocks.append(Text(few, "note"))
    axes = sorted(ranked[:MAX_AXES], key=keys.index)
    left_out = "" if len(axes) == len(keys) else f" The {len(axes)} most important of {len(keys)} parameters."
    full = len(standing(spec, reported)["full length"])
    listed = ", ".join(named[key] for key in axes)
    blocks.append(
        svg_picture(
            parallel_figure(spec, reported, axes),
            "parallel",
            f"Parallel coordinates: each line is a trial, coloured by {metric} where it may be compared, thin and grey "
            f"where it was stopped, failed or breaks a constraint.{left_out}",
            f"Parallel coordinates of {len(reported)} trials, {full} of them comparable, over {listed} and {metric}.",
        )
    )
    blocks.append(
        svg_picture(
            slices_figure(spec, reported, axes),
            "slices",
            f"{metric} over each parameter alone.{left_out}",
            f"One panel each for {listed}: {metric} of {len(reported)} trials.",
        )
    )
    ordered = [key for key in ranked if is_ordered(spec.space[key])][:2]
    contour = contour_figure(spec, reported, (ordered[0], ordered[1])) if len(ordered) == 2 else None
    if contour is not None:
        pair = " and ".join(named[key] for key in ordered)
        blocks.append(
            svg_picture(
                contour,
                "contour",
                f"{metric} over {pair}, interpolated between full-length trials (dots; equal points are averaged).",
                f"Contour of {metric} over {pair} with {full} trials as dots.",
            )
        )
    return tuple(blocks)


def _rungs(spec: SearchSpec, search: Sequence[TrialRecord]) -> tuple[Block, ...]:
    if spec.scheduler.name == "none":
        return (Text("No scheduler stops trials early in this search.", "note"),)
    epochs = _epochs(spec)
    found = rungs(spec, search, epochs)
    rows = tuple(
        Row((f"epoch {rung.epoch}", str(rung.reached), str(rung.went_on), str(rung.reached - rung.went_on)))
        for rung in found
    )
    told = ", ".join(f"{rung.reached} reached epoch {rung.epoch}" for rung in found)
    return (
        svg_picture(
            survival_figure(spec, search, epochs),
            "survival",
            f"Trials that reported each epoch; {spec.scheduler.name} compares them at the rungs.",
            f"Rung survival of {len(search)} trials: {told}.",
        ),
        Table("rungs", "Rungs of the scheduler.", ("rung", "reached", "went on", "stopped at it"), rows),
    )


def _epochs(spec: SearchSpec) -> int:
    return resolve_trial(spec, {}).epochs
