#!/usr/bin/env python3
"""End-to-end tests through the command line; TAP on stdout.

usage: run_e2e.py tiny|native|model|bad_input PANDECT SOURCE-ROOT [PROGRAM...]
"""
import importlib
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))

if __name__ == "__main__":
    part = importlib.import_module(sys.argv[1])
    from harness import World
    part.suite.run(lambda folder: part.make_world(World(sys.argv[2], sys.argv[3], folder, sys.argv[4:])))
