"""Run the command line from a checkout: ``python cli.py --help``."""

from pixelreg.commands.main import run

if __name__ == "__main__":
    run()
