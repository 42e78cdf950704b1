"""The command line: one click command a module. Commands wire, they do not compute."""
