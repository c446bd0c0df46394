"""``recap`` and ``python -m recap``: the command. Ctrl-C ends it without a traceback.

That holds from the first import on, which on a busy machine takes seconds.
"""

import sys


def main() -> None:
    """Run the command line; exit code 130 after Ctrl-C."""
    try:
        from recap.cli.main import app

        app()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
