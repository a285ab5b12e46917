"""The archive for people.

website          a static site
board_rows       rows of a board: candidates, and what others wrote among them
terminal         log, show, diff and best as coloured text
forecast_tables  plans at a terminal, and how far they are believed
listing          rows of figures and words, at any width
tree_graph       the search tree as git draws it, as it was amended
charts           charts of candidates: which points, on which axes
trajectory       the course of a search: over trials, GPU time and wall time
plots            draws charts as SVG and PNG
page_data        boards, tree and diff lines as plain values
templates/       pages, style and script of the site
"""
