"""Everything that crosses a process boundary; a security reviewer starts here.

frames       length-prefixed frames of plain data, and their size limits
candidate    judge and candidate
zygote       judge and zygote
judge        server and judge
launches     launches and times of calls, as a candidate tells them
launch_plan  the launches that a candidate recorded, as data
runner       judge and runner
profiler     server, launcher and profiled process, as files
last_words   what a judge that ended says of whose fault it was
sockets      frames over a Unix socket, with descriptors beside them
"""
