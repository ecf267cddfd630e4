"""The figures of the paper, drawn from a results folder: one kind per file."""
