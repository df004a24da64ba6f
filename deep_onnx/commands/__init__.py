"""Commands of the deep models; `pixelreg.commands.main` knows them by name."""
