"""What is refused at the border: specs, files of data, and what is not defined."""


class SpecError(ValueError):
    """A setting, or a combination of settings, that has no meaning; the message is one line."""


class DataError(ValueError):
    """A file or arrays that are not usable data: one line with the name, the fault, the remedy."""


class NotApplicable(Exception):
    """An algorithm that is not defined for an environment; the message says why."""
