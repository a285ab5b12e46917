"""The capabilities, as plain Python; imports go one way, from the archive down to the errors.

    harness             one object that holds them all, shared by MCP, the command line and tests
    archive             what was learnt: candidates in git, search, promotion, report
    profiling           why a kernel is slow
    evaluation          asking for a verdict (light, server process)
    workloads           what to measure: definitions, regimes, floors
    schema              FlashInfer-Trace's records and ours
    messages/judge      messages between server and judge
    messages/candidate  frames, and the messages between judge, zygote and candidate
    progress            progress of a long call, and a listener that ignores it
    driver              bindings of libcuda and CUPTI, for judge, runner and candidate
    errors              the harness's own failures

Three packages are processes of their own and imported by nobody: `judge` (trusted, owns inputs,
reference outputs, checks and the verdict), `candidate` (untrusted, runs what is judged) and
`runner` (trusted, replays a candidate's launches and holds the clock).
"""
