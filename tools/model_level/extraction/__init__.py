"""A ranked part of a program as an operator's folder.

operator_extraction  `extract_operator`: runs a program and writes the folder of one ranked row
extracted_run        a program run while one of its functions is recorded; started by name
extracted_operator   what is extracted, and what came of it
call_samples         some calls as they were, by which a reference is checked
exported_reference   a module or function as the code of its graph, where its source cannot stand
operator_files       the operator's folder, written
"""
