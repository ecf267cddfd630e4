"""Parts of the tasks occupancy and sdf.

Where a mesh comes from: ``sources`` (names, scans to fetch), ``reading`` (files), ``shapes``
(formulas). When a point is inside: ``solid``. What is learned: ``points``. How a network is
evaluated: ``lattice`` (its surface), ``rays`` (views), ``truth`` (what it is compared with),
``evaluation``. What is kept on disk: ``cache``.
"""
