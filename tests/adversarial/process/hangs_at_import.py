"""Never finishes its import."""

import time

EXPECT = {"status": "TIMEOUT", "kind": "timeout", "plan": {"build_timeout_s": 1.5}}

time.sleep(600)


def run(x, w, table, alpha, y, row):
    pass
