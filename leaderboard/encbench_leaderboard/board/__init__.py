"""Tables, standings and comparisons computed from the records of a results folder."""
