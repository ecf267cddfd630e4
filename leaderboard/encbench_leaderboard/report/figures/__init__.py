"""The figures of a page, one kind per file, described as data that any renderer can draw."""
