"""The command line: flags from the options' fields, events to a display; no arithmetic here."""
