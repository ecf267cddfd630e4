"""What to run: suite files, their settings, and the cells that they plan."""
