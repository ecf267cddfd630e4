"""Plug-ins: finding them, and the encodings, tasks, metrics, suites and verbs that they offer."""
