"""What comes from the server and goes to it.

channel        messages out as frames, requests in by a thread, cancellations at once
static_trials  plans that only compile, carried out several at once
"""
