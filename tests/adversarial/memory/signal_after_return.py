"""Sets a timer whose signal handler writes the outputs soon after the return."""

import signal

EXPECT = {
    "status": "INTEGRITY_VIOLATION",
    "or": "INCORRECT_NUMERICAL",
    "claim": "work_is_joined",
}

_due = []


def finish(number, frame):
    if _due:
        x, w, table, alpha, y, row = _due.pop()
        y.copy_(x[table.long()] * w * alpha + 1.0)
        row.copy_(y.sum(dim=-1))


signal.signal(signal.SIGALRM, finish)


def run(x, w, table, alpha, y, row):
    _due.append((x, w, table, alpha, y, row))
    signal.setitimer(signal.ITIMER_REAL, 0.0006)
