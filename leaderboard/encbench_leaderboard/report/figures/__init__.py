"""The figures of a page, one kind a file: what is drawn, as data that any renderer can draw."""
