"""The programs of a sealed timing: their recorded calls and their runners.

turns          replays in several runners, one after another
trial_runners  the recorded calls and the runners of both programs in one trial
kept_baseline  what is kept of an operator's own baseline from one trial to the next
"""
