"""`pingstate`, and `python -m pingstate`."""

from __future__ import annotations

from pingstate import lazy_imports


def main() -> None:
    """Run the command line, with what it does not need left unimported."""
    lazy_imports.enable()
    from pingstate import cli  # imports are lazy only from here on

    cli.main()


if __name__ == "__main__":
    main()
