"""Finding plug-ins, and the encodings, tasks, metrics, suites and verbs that they offer."""
