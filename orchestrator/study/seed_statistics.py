"""Mean and sample standard deviation over a configuration's seeds."""


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def sample_std(values: list[float]) -> float | None:
    """Standard deviation with n - 1; None for a single value, which has no spread to tell."""
    if len(values) < 2:
        return None
    centre = mean(values)
    return float((sum((v - centre) ** 2 for v in values) / (len(values) - 1)) ** 0.5)
