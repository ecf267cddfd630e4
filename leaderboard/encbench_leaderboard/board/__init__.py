"""What the records of a folder say."""
