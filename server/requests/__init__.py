"""Handling that surrounds every request, whatever the tool.

arguments       slips in arguments corrected, unknown names refused
refusals        words for arguments that are not of their tool's form
authorship      who calls, and which skills it was served
context         errors as tool errors, progress, access to the server's parts
background      work that outlives the call which began it
legacy_clients  log level and change notices for clients of older protocol revisions
"""
