"""Trials on many GPUs: who has which, and who is the next.

device_queue   what waits for the devices of one server, and the device that each gets
waiting_order  who is the next for a device: clients take turns (pure)
tickets        who waits for a GPU in any server of this machine, as files
processors     which processors each device's judge has to itself
device_lock    holds a GPU against the other servers of this machine
"""
