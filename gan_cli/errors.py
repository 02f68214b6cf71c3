"""Errors that a user can cause; each is shown as one message, never as a traceback."""


class UserError(Exception):
    """An error that the user can repair; the message says what is required and what to do."""


class ConfigError(UserError):
    """The configuration cannot work: unknown key, wrong type or range, contradiction."""


class DataError(UserError):
    """The data cannot be found, read or used."""


class CheckpointError(UserError):
    """A run folder or checkpoint cannot be found, read, trusted or continued."""
