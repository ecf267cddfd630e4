"""``python -m encbench``."""

from encbench.cli import main

if __name__ == "__main__":
    main()
