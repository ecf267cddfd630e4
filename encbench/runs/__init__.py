"""Run the cells of a suite, and write a record of each."""

from encbench.errors import require_platform

# before imports that fail on other systems
require_platform()
