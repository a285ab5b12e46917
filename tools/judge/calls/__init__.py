"""One judged call and the memory shared for it.

judged_call     place tensors, poison outputs, call, copy out, compare memory
poisons         what outputs hold before a call
device_memory   device memory that the judge keeps unused
compared_bytes  tensors copied and compared, many at once
shared_memory   the arena: placement of tensors, guard bands
"""
