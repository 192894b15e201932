"""Data sets: the embedded MNIST files, and any data set in the same IDX file format.

Images are held as uint8 in memory, one byte per pixel; nothing is downloaded.
"""
