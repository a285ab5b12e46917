"""The archive for people: website, charts, plots, terminal."""
