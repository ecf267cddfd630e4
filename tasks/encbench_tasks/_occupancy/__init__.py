"""What the occupancy task is made of.

Where a mesh comes from: ``sources`` (names, scans to fetch), ``reading`` and ``ply`` (files),
``shapes`` (formulas). When a point is inside: ``repair``, ``truth``, ``solid``. What is learned:
``points``. How a network is evaluated: ``lattice`` (its surface), ``views``, ``evaluation``.
"""
