"""`python -m audioreactive`."""

from audioreactive.commands import main

main()
