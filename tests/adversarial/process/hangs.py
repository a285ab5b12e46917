"""Never returns."""

import time

EXPECT = {"status": "TIMEOUT", "kind": "timeout", "plan": {"call_timeout_s": 0.8}}


def run(x, w, table, alpha, y, row):
    while True:
        time.sleep(1)
