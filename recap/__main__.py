"""``python -m recap`` is the command ``recap``."""

from recap.cli import app

if __name__ == "__main__":
    app()
