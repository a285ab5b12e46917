"""How a candidate becomes the best of its operator and device.

verification    independent verification, then the decision and its tag
events          tags, evidence and branches of promotions, and the way back
rules           the rules, each with its number and its limit
time_rules      the rules on times of the operator's workloads
held_out_rules  the rules on held-out sizes
peer_times      which peers a candidate beats on the device, in words
rule_outcome    what a rule says, and the numbers that rules are held to
"""
