"""Settings: each declared once, read from flags, variables and files."""

from pingstate.settings.declarations import (
    PREFIX,
    SETTINGS,
    ConfigurationError,
    Loaded,
    Setting,
    Settings,
    load_settings,
)

__all__ = [
    "PREFIX",
    "SETTINGS",
    "ConfigurationError",
    "Loaded",
    "Setting",
    "Settings",
    "load_settings",
]
