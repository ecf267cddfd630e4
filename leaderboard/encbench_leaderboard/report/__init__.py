"""The content of a page, described independently of how it is drawn."""
