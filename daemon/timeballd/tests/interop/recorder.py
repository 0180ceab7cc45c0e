"""Records every frame that passes an interface: recorder.py INTERFACE FILE.

A record is the Unix time (a double), the length of the frame (32 bits), and the frame; numbers as this machine has them.
"""
import socket
import struct
import sys
import time

ALL_PROTOCOLS = 3  # ETH_P_ALL

interface, path = sys.argv[1:]
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS))
link.bind((interface, 0))
with open(path, "wb", buffering=0) as file:
    print("listening", flush=True)
    while True:
        frame = link.recv(65535)
        file.write(struct.pack("=dI", time.time(), len(frame)) + frame)
