"""Running the cells of a suite, and writing a record of each."""
