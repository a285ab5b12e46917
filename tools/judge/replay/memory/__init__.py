"""The memory of replayed calls as the judge sees it.

placed_values  inputs put where a runner finds them, outputs and guard bands read after its replays
"""
