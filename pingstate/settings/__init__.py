"""Settings: each declared once, read from flags, variables and files."""

from pingstate.settings.declarations import PREFIX, SETTINGS, Setting, Settings
from pingstate.settings.environment import ConfigurationError, LoadedSettings, load_settings

__all__ = [
    "PREFIX",
    "SETTINGS",
    "ConfigurationError",
    "LoadedSettings",
    "Setting",
    "Settings",
    "load_settings",
]
