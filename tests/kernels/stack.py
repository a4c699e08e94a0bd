#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""The combined stack of each eBPF program as Linux 6.1 counts it, read from the objects themselves:
each frame of the deepest chain of calls is rounded up to 32 bytes (to 16 from 6.8 on), a callback
counts as a call, and more than 512 is refused. Needs neither root nor that kernel.

	stack.py LIMIT OBJECT...

A line for each program, PASS or FAIL, with the calls of one that needs more than LIMIT."""
import struct
import sys

FRAME = 32
FRAME_POINTER = 10
# Instructions, by opcode (include/uapi/linux/bpf.h).
LOAD_WIDE, CALL, MOVE, ADD_NUMBER = 0x18, 0x85, 0xbf, 0x07
CLASS_LOAD, CLASS_STORE, CLASS_STORE_REGISTER, CLASS_ALU, CLASS_ALU64 = 1, 2, 3, 4, 7
PSEUDO_CALL, PSEUDO_FUNCTION = 1, 4  # in the source register of a call, of a wide load
# Types and a flag of sections, and a type of symbols (ELF).
SYMBOLS, WITHOUT_BYTES, RELOCATIONS, EXECUTABLE, FUNCTION = 2, 8, 9, 4, 2


def text_at(strings, start):
    return strings[start:strings.index(b"\0", start)].decode()


class Section:
    def __init__(self, strings, header, data):
        name, self.type, self.flags, _, offset, size, self.link, self.info = header[:8]
        self.name = text_at(strings, name)
        self.bytes = b"" if self.type == WITHOUT_BYTES else data[offset:offset + size]


def sections_of(data):
    start, = struct.unpack_from("<Q", data, 40)
    size, count, names = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQIIQQ", data, start + i * size) for i in range(count)]
    strings = data[headers[names][4]:headers[names][4] + headers[names][5]]
    return [Section(strings, header, data) for header in headers]


class Function:
    """A program or one that it calls: its own frame, and whom it calls."""

    def __init__(self, name, section, start, size):
        self.name, self.section, self.start, self.end = name, section, start, start + size
        self.frame = 0
        self.calls = set()

    def read(self, code, target):
        """Goes through the instructions. Addresses on the stack are the frame pointer and what is
        made of it by adding numbers; they are followed in the order of the code, across jumps."""
        addresses = {FRAME_POINTER: 0}
        wide = False
        for at in range(self.start, self.end, 8):
            opcode, registers, offset, number = struct.unpack_from("<BBhi", code, at)
            if wide:  # the second half of a wide load
                wide = False
                continue
            to, source, kind = registers & 15, registers >> 4, opcode & 7
            wide = opcode == LOAD_WIDE
            if kind == CLASS_LOAD and not wide and source in addresses:
                self.reach(addresses[source] + offset)
            if kind in (CLASS_STORE, CLASS_STORE_REGISTER) and to in addresses:
                self.reach(addresses[to] + offset)
            if opcode == CALL or wide:
                called = target(self.section, at, opcode, source, number)
                if called:
                    self.calls.add(called)
            if opcode == MOVE and source in addresses:
                addresses[to] = addresses[source]
            elif opcode == ADD_NUMBER and to in addresses and to != FRAME_POINTER:
                addresses[to] += number
                self.reach(addresses[to])
            elif opcode == CALL:
                for register in range(6):
                    addresses.pop(register, None)
            elif kind in (0, CLASS_LOAD, CLASS_ALU, CLASS_ALU64) and to != FRAME_POINTER:
                addresses.pop(to, None)

    def reach(self, offset):
        self.frame = max(self.frame, -offset)

    def deepest(self, above=()):
        """The chain of calls that takes most: (bytes, [functions])."""
        if self in above:
            raise ValueError(f"{self.name} calls itself")
        below = max((called.deepest(above + (self,)) for called in self.calls),
                    key=lambda chain: chain[0], default=(0, []))
        mine = -(-max(self.frame, 1) // FRAME) * FRAME
        return mine + below[0], [self] + below[1]


def programs_of(path):
    with open(path, "rb") as file:
        data = file.read()
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError("no 64-bit little-endian ELF")
    sections = sections_of(data)
    table = next(section for section in sections if section.type == SYMBOLS)
    strings = sections[table.link].bytes
    symbols = [struct.unpack_from("<IBBHQQ", table.bytes, at)
               for at in range(0, len(table.bytes), 24)]
    functions = {}
    for name, kind, _, section, value, size in symbols:
        if kind & 15 == FUNCTION and size:
            functions[section, value] = Function(text_at(strings, name), section, value, size)
    relocations = {}
    for section in sections:
        if section.type == RELOCATIONS:
            for at in range(0, len(section.bytes), 16):
                offset, what = struct.unpack_from("<QQ", section.bytes, at)
                relocations[section.info, offset] = symbols[what >> 32]

    def target(section, at, opcode, source, number):
        """The function that an instruction calls, or hands on as a callback."""
        symbol = relocations.get((section, at))
        if symbol is None:
            if opcode == CALL and source == PSEUDO_CALL:
                return functions[section, at + 8 + number * 8]
            return None
        _, kind, _, section, value, _ = symbol
        if section >= len(sections) or not sections[section].flags & EXECUTABLE:
            return None  # a map, a variable, a function of the kernel
        if kind & 15 != FUNCTION:  # the section's own symbol: the instruction says where in it
            value += (number + 1) * 8 if opcode == CALL else number
        return functions[section, value]

    for function in functions.values():
        function.read(sections[function.section].bytes, target)
    called = {callee for function in functions.values() for callee in function.calls}
    return [function for function in functions.values()
            if function not in called and sections[function.section].name != ".text"]


def main():
    limit, failed = int(sys.argv[1]), False
    for path in sys.argv[2:]:
        programs = programs_of(path)
        if not programs:
            sys.exit(f"{path}: no program")
        for program in programs:
            size, chain = program.deepest()
            failed |= size > limit
            print("PASS" if size <= limit else "FAIL", path.split("/")[-1],
                  f"{program.name}: {size} bytes of stack", end="")
            if size > limit:
                print(f", more than {limit}:", " > ".join(f"{called.name} {called.frame}"
                                                          for called in chain), end="")
            print()
    sys.exit(failed)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: stack.py LIMIT OBJECT...")
    main()
