"""Returns nothing and hopes that nothing is compared with nothing."""

EXPECT = {"status": "INCORRECT_SHAPE", "style": "value"}


def run(x, w, table, alpha):
    return None
