"""``python -m flows reproduce|sweep|promote|rollback``. Ctrl-C ends it without a traceback."""

import sys


def main() -> None:
    """Run the command line; exit code 130 after Ctrl-C."""
    try:
        from flows.commands import app

        app()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
