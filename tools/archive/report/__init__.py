"""The archive for people.

website     a static site
terminal    log, show, diff and best as coloured text
charts      charts of candidates: which points, on which axes
plots       draws charts as SVG and PNG
page_data   boards, tree and diff lines as plain values
templates/  pages, style and script of the site
"""
