"""Commands that carry candidates and work elsewhere.

export   export, pack, extract, trajectories
batches  batch pack, batch run, batch merge
"""
