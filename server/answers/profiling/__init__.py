"""What was measured and looked into, in words: nothing here is a verdict.

profiles    profiles, timelines, sanitizer reports
inspection  one call looked into
"""
