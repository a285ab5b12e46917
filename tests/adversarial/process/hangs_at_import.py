"""Never finishes its import."""

import time

EXPECT = {"status": "TIMEOUT", "kind": "timeout", "plan": {"build_timeout_s": 0.8}}

time.sleep(600)


def run(x, w, table, alpha, y, row):
    pass
