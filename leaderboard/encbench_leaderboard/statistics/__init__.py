"""Intervals, tests and ranks: pure functions of arrays.

``docs/statistics.md`` says which method is used when, and why.
"""
