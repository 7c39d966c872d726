"""Settings: each declared once, read from flags, variables and files."""

from pingstate.settings.declarations import SETTINGS, Settings
from pingstate.settings.environment import ConfigurationError, LoadedSettings, load_settings
from pingstate.settings.setting import PREFIX, Setting

__all__ = [
    "PREFIX",
    "SETTINGS",
    "ConfigurationError",
    "LoadedSettings",
    "Setting",
    "Settings",
    "load_settings",
]
