"""Running the cells of a suite, and writing a record of each."""

from encbench.errors import require_platform

# before an import of what other systems lack
require_platform()
