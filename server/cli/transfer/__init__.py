"""Commands that carry candidates and work elsewhere.

export   deploy, export, pack, extract, trajectories
batches  batch pack, batch run, batch merge
"""
