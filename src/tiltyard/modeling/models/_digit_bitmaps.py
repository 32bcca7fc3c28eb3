"""The digits 0 to 9 as pictures of 7x12 pixels: output codes of LeNet-5 in which similar digits have similar codes."""

from __future__ import annotations

import numpy as np

from tiltyard.arrays import Array

WIDTH, HEIGHT = 7, 12
INK = "#"
# Drawn for this project: the paper shows such pictures, but does not list their pixels. Digits 0 to 4, then 5 to 9.
PICTURES = """
 .#####.  ...##..  .#####.  #######  ....##.
 ##...##  ..###..  ##...##  .....##  ...###.
 ##...##  .####..  ##...##  ....##.  ...###.
 ##...##  ...##..  .....##  ...##..  ..####.
 ##...##  ...##..  .....##  ..####.  ..#.##.
 ##...##  ...##..  ....##.  .....##  .##.##.
 ##...##  ...##..  ...##..  .....##  ##..##.
 ##...##  ...##..  ..##...  .....##  ##..##.
 ##...##  ...##..  .##....  .....##  #######
 ##...##  ...##..  ##.....  ##...##  ....##.
 ##...##  ...##..  ##.....  ##...##  ....##.
 .#####.  .######  #######  .#####.  ....##.

 #######  .#####.  #######  .#####.  .#####.
 ##.....  ##...##  .....##  ##...##  ##...##
 ##.....  ##.....  .....##  ##...##  ##...##
 ##.....  ##.....  ....##.  ##...##  ##...##
 ######.  ##.###.  ....##.  .##.##.  ##...##
 .....##  ###..##  ...##..  ..###..  ##..###
 .....##  ##...##  ...##..  .##.##.  .###.##
 .....##  ##...##  ..##...  ##...##  .....##
 .....##  ##...##  ..##...  ##...##  .....##
 ##...##  ##...##  .##....  ##...##  .....##
 ##...##  ##...##  .##....  ##...##  ##...##
 .#####.  .#####.  .##....  .#####.  .#####.
"""


def digit_codes() -> Array:
    """Return a column of 84 numbers for each digit: +1 for ink, -1 for paper, row by row."""
    codes = []
    for block in PICTURES.strip("\n").split("\n\n"):
        rows = [line.split() for line in block.splitlines()]
        codes += ["".join(row) for row in zip(*rows, strict=True)]
    return np.array([[1.0 if pixel == INK else -1.0 for pixel in code] for code in codes]).T
