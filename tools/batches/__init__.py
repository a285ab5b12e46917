"""Evaluations on machines without a connection: packed here, carried out there, merged here.

job       what a file of evaluations asks for, and its form
packing   writes a job's file from workspaces, folders and candidates
running   carries a job out on the machine at hand, and writes the file of results
results   the form of that file, signed as a whole
merging   brings results into this machine's records and archive
tar_file  tar files of plain files under known names, whoever wrote them
"""
