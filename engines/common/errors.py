"""Every error that a user can mend, in one tree; the commands print them in one line and exit with status 2.

Beside it the one that a new start may mend: also one line, and exit status 1.
"""


class UserError(Exception):
    """Something a user can mend: the text says what is wrong, where, and what to do."""


class ConfigError(UserError):
    """A line file, a command's option or a setting of the host is wrong."""


class RecipeError(UserError):
    """A recipe bundle is missing, damaged, or does not fit what asked for it."""


class ImageError(UserError):
    """An image file or a folder of images cannot be used."""


class EngineError(UserError):
    """A recipe's graph cannot be loaded or run on the asked target."""


class FaultError(Exception):
    """A process cannot go on and a new one may: the text says what happened."""
