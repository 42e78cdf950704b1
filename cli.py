#!/usr/bin/env python3
"""Runs the command line from a checkout: `python cli.py render song.mp3`."""

from audioreactive.commands import main

if __name__ == "__main__":
    main()
