"""Section "The search": history, trade-off, important parameters, rungs, and cost of the search."""

from collections.abc import Sequence

from orchestrator.planning.trials import resolve_trial
from orchestrator.report.figures.history import best_so_far, history_figure
from orchestrator.report.figures.hypervolume import hypervolume_figure, hypervolumes
from orchestrator.report.figures.importance import MIN_TRIALS, importance_figure, importances
from orchestrator.report.figures.marks import comparison_groups
from orchestrator.report.figures.parameter_space import (
    MAX_AXES,
    contour_figure,
    in_space,
    is_ordered,
    parallel_figure,
    slices_figure,
)
from orchestrator.report.figures.rung_survival import rungs, survival_figure
from orchestrator.report.figures.timeline import cost, timeline_figure
from orchestrator.report.figures.tradeoff import ERROR, INTERP, tradeoff_figure, tradeoff_front
from orchestrator.report.page.document import Block, Facts, Picture, Row, Table, Text, number
from orchestrator.report.page.picture import svg_picture
from orchestrator.report.parameter_text import short_names
from orchestrator.study.journal import TrialRecord
from orchestrator.study.study import StudyView
from search_spaces.schema import SearchSpec


def search_blocks(view: StudyView) -> tuple[Block, ...]:
    """The figures; a note replaces each figure that cannot be drawn yet."""
    spec, search = view.spec, view.state.of_kind("search")
    reported = [record for record in search if record.history]
    if not reported:
        return (Text("No trial of a search has reported an epoch yet.", "note"), *cost_blocks(view))
    return (
        _history(spec, search),
        *_tradeoff(spec, search, reported),
        *_parameters(spec, [record for record in reported if in_space(spec, record)]),
        *_rungs(spec, search),
        *cost_blocks(view),
    )


def cost_blocks(view: StudyView) -> tuple[Block, ...]:
    """When the trials ran and what they cost; the same for a single trial and for a search."""
    spec, records = view.spec, [record for record in view.state.trials.values() if record.history]
    if not records:
        return ()
    epochs = _epochs(spec)
    spent = cost(spec, records, epochs)
    saved = 1 - spent.epochs / spent.full_length_epochs
    facts = [
        (
            "Epochs trained",
            f"{spent.epochs:,} of {spent.full_length_epochs:,} that the same trials need at full length",
        ),
        ("Saved by early stopping", f"{saved:.0%}"),
        ("Worker-hours", f"{spent.worker_hours:.2f} (workers of a trial times its time from first epoch to end)"),
        ("Lanes in use", "–" if spent.busy_share is None else f"{spent.busy_share:.0%} of the time"),
    ]
    ended = sum(record.ended_s is not None for record in records)
    picture = svg_picture(
        timeline_figure(records),
        "timeline",
        "When each trial ran. Trials on the same lane ran one after the other; the number of lanes is the number of "
        "trials that ran at the same time. Filled: completed; empty: stopped early; crossed: failed; dotted: running.",
        f"Timeline of {len(records)} trials since the first one started; {ended} have ended.",
    )
    return (picture, Facts(tuple(facts)))


def _history(spec: SearchSpec, search: Sequence[TrialRecord]) -> Picture:
    groups = ", ".join(f"{len(records)} {name}" for name, records in comparison_groups(spec, search).items() if records)
    best, metric = best_so_far(spec, search), spec.objectives[0].metric
    best_text = (
        f"The best comparable value goes from {best[0][1]:.4g} (trial {best[0][0]} in order) to {best[-1][1]:.4g} "
        f"(trial {best[-1][0]})."
        if best
        else "None of them can be compared yet."
    )
    return svg_picture(
        history_figure(spec, search),
        "history",
        f"Optimisation history: {metric} of each trial's best epoch, in the order of start. The line is the best value "
        "so far among full-length trials within every constraint.",
        f"{metric} of {len(search)} trials: {groups}. {best_text}",
    )


def _tradeoff(spec: SearchSpec, search: Sequence[TrialRecord], reported: Sequence[TrialRecord]) -> tuple[Block, ...]:
    if not any(INTERP in record.outcome for record in reported):
        return (Text("Interpretability was not scored during the search, so there is no trade-off to draw.", "note"),)
    front = tradeoff_front(spec, search)
    points = "; ".join(
        f"{r.trial} at {number(r.outcome[ERROR])} % error, score {number(r.outcome[INTERP], 1)} %"
        for r in (front if len(front) <= 3 else (front[0], front[-1]))
    )
    ends = "" if len(front) <= 3 else "; its two ends"
    picture = svg_picture(
        tradeoff_figure(spec, search),
        "tradeoff",
        "Mean-centred interpretability against validation error: upper left is better, lower right is worse. Only "
        "full-length trials within every constraint are on the Pareto front; stopped trials are grey.",
        f"{len(reported)} trials by error and interpretability. {len(front)} on the Pareto front{ends}"
        f"{': ' + points if front else ''}.",
    )
    if not front:
        return (picture, Text("No trial is on the Pareto front yet, so there is no hypervolume.", "note"))
    volumes = hypervolumes(spec, search)
    return (
        picture,
        svg_picture(
            hypervolume_figure(volumes),
            "hypervolume",
            "Hypervolume of the Pareto front after each trial: the share dominated of the rectangle between 100 % "
            "error with score 0 and 0 % error with score 100.",
            f"Hypervolume over {len(volumes)} trials, rising from {volumes[0]:.3f} to {volumes[-1]:.3f}.",
        ),
    )


def _parameters(spec: SearchSpec, reported: Sequence[TrialRecord]) -> tuple[Block, ...]:
    metric = spec.objectives[0].metric
    keys = [key for key, varied in spec.space.items() if varied.size != 1]
    if not keys or not reported:
        return ()
    shares = importances(spec, reported)
    ranked = [*shares, *(key for key in keys if key not in shares)]
    named = dict(zip(ranked, short_names(ranked), strict=True))
    blocks: list[Block] = []
    if shares:
        alt = ", ".join(f"{named[key]} {share:.0%}" for key, share in shares.items())
        caption = f"Importance of each parameter for {metric}: its share of the variance between full-length trials."
        blocks.append(
            svg_picture(importance_figure(shares), "importance", f"{caption} Optuna's functional ANOVA.", alt + ".")
        )
    else:
        too_few = f"The importance of parameters needs at least {MIN_TRIALS} full-length trials that differ."
        blocks.append(Text(too_few, "note"))
    axes = sorted(ranked[:MAX_AXES], key=keys.index)
    left_out = "" if len(axes) == len(keys) else f" Shows the {len(axes)} most important of {len(keys)} parameters."
    full = len(comparison_groups(spec, reported)["full length"])
    listed = ", ".join(named[key] for key in axes)
    blocks.append(
        svg_picture(
            parallel_figure(spec, reported, axes),
            "parallel",
            f"Parallel coordinates: each line is a trial. Comparable trials are coloured by {metric}; trials that were "
            f"stopped, failed or break a constraint are thin and grey.{left_out}",
            f"Parallel coordinates of {len(reported)} trials over {listed} and {metric}; {full} are comparable.",
        )
    )
    blocks.append(
        svg_picture(
            slices_figure(spec, reported, axes),
            "slices",
            f"{metric} against each single parameter.{left_out}",
            f"One panel for each of {listed}: {metric} of {len(reported)} trials.",
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
                f"Contour plot of {metric} over {pair} with {full} trials as dots.",
            )
        )
    return tuple(blocks)


def _rungs(spec: SearchSpec, search: Sequence[TrialRecord]) -> tuple[Block, ...]:
    if spec.scheduler.name == "none":
        return (Text("This search has no scheduler that stops trials early.", "note"),)
    epochs = _epochs(spec)
    found = rungs(spec, search, epochs)
    rows = tuple(
        Row((f"epoch {rung.epoch}", str(rung.reached), str(rung.continued), str(rung.reached - rung.continued)))
        for rung in found
    )
    reached = ", ".join(f"{rung.reached} reached epoch {rung.epoch}" for rung in found)
    return (
        svg_picture(
            survival_figure(spec, search, epochs),
            "survival",
            f"Number of trials that reported each epoch; {spec.scheduler.name} stops trials at the rungs.",
            f"Rung survival of {len(search)} trials: {reached}.",
        ),
        Table("rungs", "Rungs of the scheduler.", ("rung", "reached", "continued", "stopped"), rows),
    )


def _epochs(spec: SearchSpec) -> int:
    return resolve_trial(spec, {}).epochs
