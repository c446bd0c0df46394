"""``recap`` and ``python -m recap``: the command. Ctrl-C ends it without a traceback.

This holds from the first import on. On a busy machine the imports take seconds.
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
