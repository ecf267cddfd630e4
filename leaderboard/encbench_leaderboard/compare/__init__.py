"""Two encodings, or two results folders, side by side."""
