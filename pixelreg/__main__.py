"""``python -m pixelreg``: the same as the ``pixelreg`` command."""

from pixelreg.commands.main import run

if __name__ == "__main__":
    run()
