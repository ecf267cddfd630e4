"""What the numbers of a leaderboard allow one to say; pure functions of arrays and records.

``docs/statistics.md`` says which method is used when, and why.
"""
