"""`python -m pingstate`."""

from pingstate.cli import main

main()
