"""Pictures of a leaderboard, one kind a file; each function returns a figure or None.

None means that the records hold nothing to draw. All are called inside ``style.quiet()``.
"""
