"""The one error of a search specification."""


class SpecError(ValueError):
    """A search specification that cannot be used. Carries one string: file, place, what is wrong, what is allowed."""
