"""The paper run again: its tables and claims beside ours, each with a verdict."""
