"""One function per MCP tool: names looked up, one call on a service, one answer.

workloads   check_environment, list_workloads, sample_shapes, open_workspace
evaluation  evaluate_kernel, get_evaluation, read_report
tuning      evaluate_variants
profiling   profile_ncu, profile_timeline, sanitize, inspect_call
plans       ideas that are recorded before they are written
plots       plot_floors, plot_roofline, plot_progress
archive     candidates kept and amended, search_archive, select_parent, get_context, promotions
registry    which there are and as clients are given them (listed.json); loads one for its call
listing     their schemas as clients are given them
fields      types of arguments that several tools share
"""
