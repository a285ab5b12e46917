"""One judged call and the memory shared for it.

judged_call    place tensors, poison outputs, call, copy out, compare memory
shared_memory  the arena: placement of tensors, guard bands
"""
