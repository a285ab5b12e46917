"""Code for files that stand alone: takes a task's data apart into inputs, and makes it of them.

What it works on is a tree, written as plain Python values: ("tensor", name), ("number", name),
("constant", value), ("fresh", name) for a tensor that a call gets unfilled, and ("tuple", [...]),
("list", [...]), ("dict", {...}) of such. A name is that of a definition's input.
"""

HELPERS = '''
def kh_tree(value, name):
    """The tree of a value, and its leaves by name."""
    import torch

    if isinstance(value, torch.Tensor):
        return ("tensor", name), {name: value}
    if isinstance(value, bool | int | float):
        return ("number", name), {name: value}
    parts = value.items() if isinstance(value, dict) else None
    if isinstance(value, tuple | list):
        parts = enumerate(value)
    if parts is None:
        if value is None or isinstance(value, str):
            return ("constant", value), {}
        raise TypeError(f"{name} is a {type(value).__name__}, which no input can be")
    leaves, trees = {}, []
    for key, part in parts:
        word = "".join(c if c.isalnum() else "_" for c in str(key))
        between = "_" if isinstance(value, dict) else ""
        tree, found = kh_tree(part, f"{name}{between}{word}")
        trees.append((key, tree))
        leaves.update(found)
    if isinstance(value, dict):
        return ("dict", dict(trees)), leaves
    kind = "tuple" if isinstance(value, tuple) else "list"
    return (kind, [tree for _, tree in trees]), leaves


def kh_value(tree, leaves):
    """The value of a tree whose leaves have these values."""
    kind, what = tree
    if kind == "constant":
        return what
    if kind == "dict":
        return {key: kh_value(part, leaves) for key, part in what.items()}
    if kind in ("tuple", "list"):
        parts = [kh_value(part, leaves) for part in what]
        return tuple(parts) if kind == "tuple" else parts
    return leaves[what]
'''
