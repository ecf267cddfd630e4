"""Tests of all packages of this repository."""

import gc

# until all tests are collected: what is imported stays, and to look for garbage took a sixth
gc.disable()
