"""Which of several runs of one model on one data set stands for it in the paper's tables."""

from collections.abc import Sequence

from orchestrator.report.runs.subject import Subject

Chosen = dict[tuple[str, str], tuple[str, Subject]]
"""By model and data set: the study's name and its subject."""


def most_thorough(subjects: Sequence[tuple[str, Subject]]) -> Chosen:
    """By model and data set the one that was trained longest, on most images, over most seeds; then the better one."""

    def rank(item: tuple[str, Subject]) -> tuple[float, ...]:
        subject = item[1]
        images = subject.config.data.train_images
        full = float("inf") if images is None else float(images)
        error = subject.mean.get("final_val_error_pct", float("inf"))
        return subject.config.model.width, subject.config.epochs, full, subject.num_seeds, -error

    chosen: Chosen = {}
    for item in subjects:
        key = (item[1].config.model.name, item[1].config.data.name)
        if key not in chosen or rank(item) > rank(chosen[key]):
            chosen[key] = item
    return chosen
