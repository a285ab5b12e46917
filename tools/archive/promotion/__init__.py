"""How a candidate becomes the best of its operator and device.

verification  independent verification, then the decision and its tag
events        tags, evidence and branches of promotions, and the way back
rules         the rules, each with its number and its limit
"""
