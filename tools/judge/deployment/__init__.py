"""Whether a program that is right can be used as others will use it; it decides no verdict.

checks  makes the calls, and says what of them failed
"""
