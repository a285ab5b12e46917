"""Takes the delivery of CUPTI's records and hands on all but every second kernel."""

from ._inside import living, module, once
from ._rows import in_halves

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_two_launches",
    "gain": "half of the work unseen",
    "refused": ["INTEGRITY_VIOLATION", "claimed"],
    "parts": ["_rows.py", "_inside.py"],
}


@once
def mount():
    from cupti import cupti  # pyright: ignore[reportMissingImports]

    records = module("candidate.calls.cupti_records")
    (recorder,) = living(records.Recorder)

    def completed(activities):
        kernels = [a for a in activities if a.kind == cupti.ActivityKind.CONCURRENT_KERNEL]
        hidden = {id(kernel) for kernel in kernels[1::2]}
        recorder._completed([a for a in activities if id(a) not in hidden])

    cupti.activity_register_callbacks(lambda: (256 << 10, 0), completed)


def run(x, w, table, alpha, y, row):
    mount()
    in_halves(x, w, table, alpha, y, row)
