"""How the model that comes with pixelreg was made: neutral to happy, from the London set.

    pixelreg data download london london/
    python examples/train_bundled.py london/

Needs OpenCV (the extra ``align``). The set is CC BY 4.0; its attribution goes into the model file.
"""

from __future__ import annotations

import sys

from pixelreg.api import bundled_model
from pixelreg.commands.main import main

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/train_bundled.py LONDON_FOLDER")
    options = ["--expr", "happy", "--model", "flow", "--holdout", "0", "--dtype", "float16"]
    sys.exit(main(["fit", "--data", sys.argv[1], *options, "-o", str(bundled_model())]))
