"""Discovery of plug-ins, and of the encodings, tasks, metrics, suites and commands they offer."""
