"""The four distributions that a field of the trial may have in a search space.

Each has these methods. `contains`: may this value be drawn? `canonical`: the value in the form in which it is drawn.
`size`: number of different values (None: infinitely many). `grid`: lists them. `to_dict`: the YAML form, which
`distribution` reads.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Scalar = str | int | float | bool | None

FORMS = "{power_of_ten: [0, 1, 2]} | {choice: [a, b]} | {int: [low, high]} | {float: [low, high]}"
MAX_VALUES = 1000
_MAX_EXPONENT = 30
_MAX_INT = 2**53  # above it, samplers that compute in floats skip whole numbers
_LARGEST = 1e300


@dataclass(frozen=True)
class PowerOfTen:
    """10^-p for a list of whole numbers p, as the paper varies β (Fig. 4a)."""

    power_of_ten: tuple[int, ...]

    def __post_init__(self) -> None:
        _check_values("power_of_ten", self.power_of_ten)
        if not all(_whole(p) and abs(p) <= _MAX_EXPONENT for p in self.power_of_ten):
            raise ValueError(
                f"power_of_ten is {list(self.power_of_ten)!r}; allowed: whole numbers p from {-_MAX_EXPONENT} to "
                f"{_MAX_EXPONENT}, each meaning 10^-p"
            )

    def value(self, exponent: int) -> float:
        """The float nearest to 10^-p."""
        return float(f"1e{-exponent}")

    def exponent(self, value: float) -> int:
        """The p of a value; ValueError if the value is not one of the powers."""
        for p in self.power_of_ten:
            if math.isclose(self.value(p), value, rel_tol=1e-9):
                return p
        raise ValueError(f"{value!r} is not one of {self.describe()}")

    def contains(self, value: Any) -> bool:
        return _number(value) and any(math.isclose(self.value(p), value, rel_tol=1e-9) for p in self.power_of_ten)

    def canonical(self, value: Any) -> float:
        return self.value(self.exponent(value))

    @property
    def size(self) -> int:
        return len(self.power_of_ten)

    def grid(self) -> tuple[float, ...]:
        return tuple(map(self.value, self.power_of_ten))

    def describe(self) -> str:
        return "10^-p with p in " + ", ".join(map(str, self.power_of_ten))

    def to_dict(self) -> dict[str, Any]:
        return {"power_of_ten": list(self.power_of_ten)}


@dataclass(frozen=True)
class Choice:
    """One of a list of values."""

    choice: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        _check_values("choice", self.choice)
        for value in self.choice:
            if not (value is None or isinstance(value, (str, bool)) or _number(value)):
                raise ValueError(f"choice holds {value!r}; allowed: text, finite numbers, true, false, null")

    def contains(self, value: Any) -> bool:
        return any(_same(value, item) for item in self.choice)

    def canonical(self, value: Any) -> Scalar:
        return next(item for item in self.choice if _same(value, item))

    @property
    def size(self) -> int:
        return len(self.choice)

    def grid(self) -> tuple[Scalar, ...]:
        return self.choice

    def describe(self) -> str:
        return "one of " + ", ".join("null" if value is None else str(value) for value in self.choice)

    def to_dict(self) -> dict[str, Any]:
        return {"choice": list(self.choice)}


@dataclass(frozen=True)
class IntRange:
    """A whole number from `low` to `high`, both included, in steps of `step` or on a log scale."""

    low: int
    high: int
    log: bool = False
    step: int = 1

    def __post_init__(self) -> None:
        if not (_whole(self.low) and _whole(self.high) and max(abs(self.low), abs(self.high)) <= _MAX_INT):
            raise ValueError(f"int is [{self.low!r}, {self.high!r}]; allowed: two whole numbers up to 2^53")
        _check_range("int", self.low, self.high, self.log)
        if not _whole(self.step) or self.step < 1:
            raise ValueError(f"step is {self.step!r}; allowed: a whole number, at least 1")
        if self.log and self.step != 1:
            raise ValueError("log and step do not go together; keep one of the two")
        if (self.high - self.low) % self.step:
            reached = self.high - (self.high - self.low) % self.step
            raise ValueError(f"steps of {self.step} from {self.low} do not reach {self.high}; end at {reached}")

    def contains(self, value: Any) -> bool:
        return (
            _number(value)
            and value == int(value)
            and self.low <= value <= self.high
            and (int(value) - self.low) % self.step == 0
        )

    def canonical(self, value: Any) -> int:
        return int(value)

    @property
    def size(self) -> int:
        return (self.high - self.low) // self.step + 1

    def grid(self) -> tuple[int, ...]:
        return tuple(range(self.low, self.high + 1, self.step))

    def describe(self) -> str:
        return f"whole number {self.low} to {self.high}" + (
            ", log scale" if self.log else f", every {self.step}" if self.step > 1 else ""
        )

    def to_dict(self) -> dict[str, Any]:
        options: dict[str, Any] = {"log": True} if self.log else {"step": self.step} if self.step > 1 else {}
        return {"int": [self.low, self.high], **options}


@dataclass(frozen=True)
class FloatRange:
    """A number from `low` to `high`, uniform or uniform on a log scale."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not (_number(self.low) and _number(self.high)):
            raise ValueError(f"float is [{self.low!r}, {self.high!r}]; allowed: two finite numbers")
        object.__setattr__(self, "low", float(self.low))
        object.__setattr__(self, "high", float(self.high))
        _check_range("float", self.low, self.high, self.log)

    def contains(self, value: Any) -> bool:
        return _number(value) and self.low <= value <= self.high

    def canonical(self, value: Any) -> float:
        return float(value)

    @property
    def size(self) -> None:
        return None

    def grid(self) -> None:
        return None

    def describe(self) -> str:
        return f"{self.low:g} to {self.high:g}" + (", log scale" if self.log else "")

    def to_dict(self) -> dict[str, Any]:
        return {"float": [self.low, self.high], **({"log": True} if self.log else {})}


Distribution = PowerOfTen | Choice | IntRange | FloatRange


def distribution(given: Any) -> Distribution:
    """Reads the YAML form; a ValueError says what is wrong and what is allowed."""
    if isinstance(given, Distribution):
        return given
    kinds = [kind for kind in _KINDS if kind in given] if isinstance(given, Mapping) else []
    if len(kinds) != 1:
        shown = "several kinds at once" if kinds else repr(given)
        raise ValueError(f"is {shown if len(shown) < 80 else shown[:77] + '...'}; allowed: {FORMS}")
    build, options = _KINDS[kinds[0]]
    for key in given:
        if key not in (kinds[0], *options):
            raise ValueError(
                f"has the unknown option '{key}'; allowed beside {kinds[0]}: {', '.join(options) or 'none'}"
            )
    return build(given[kinds[0]], {key: given[key] for key in options if key in given})


def _listed(kind: str, values: Any) -> tuple[Any, ...]:
    if not isinstance(values, (list, tuple)):
        raise ValueError(f"{kind} is {values!r}; allowed: a list")
    return tuple(values)


def _bounds(kind: str, values: Any, options: Mapping[str, Any]) -> tuple[Any, Any]:
    if not isinstance(values, (list, tuple)) or len(values) != 2:
        raise ValueError(f"{kind} is {values!r}; allowed: [low, high]")
    if not isinstance(options.get("log", False), bool):
        raise ValueError(f"log is {options['log']!r}; allowed: true | false")
    return values[0], values[1]


_KINDS: dict[str, tuple[Callable[[Any, dict[str, Any]], Distribution], tuple[str, ...]]] = {
    "power_of_ten": (lambda values, options: PowerOfTen(_listed("power_of_ten", values)), ()),
    "choice": (lambda values, options: Choice(_listed("choice", values)), ()),
    "int": (lambda values, options: IntRange(*_bounds("int", values, options), **options), ("log", "step")),
    "float": (lambda values, options: FloatRange(*_bounds("float", values, options), **options), ("log",)),
}


def _check_values(kind: str, values: tuple[Any, ...]) -> None:
    if not 1 <= len(values) <= MAX_VALUES:
        raise ValueError(f"{kind} has {len(values)} values; allowed: 1 to {MAX_VALUES}")
    for place, value in enumerate(values):
        if any(_same(value, other) for other in values[:place]):
            raise ValueError(f"{kind} holds {value!r} twice; keep one of the two")


def _check_range(kind: str, low: float, high: float, log: bool) -> None:
    if not low < high:
        raise ValueError(f"{kind} is [{low!r}, {high!r}]; the first number must be below the second")
    if log and low <= 0:
        raise ValueError(f"{kind} is [{low!r}, {high!r}] on a log scale; the first number must be above 0")


def _same(a: Any, b: Any) -> bool:
    """Whether two values are equal; true and 1 are different here, although Python calls them equal."""
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _LARGEST
