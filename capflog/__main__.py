"""``python -m capflog`` is the command ``capflog``."""

from capflog.cli import main

if __name__ == "__main__":
    main()
