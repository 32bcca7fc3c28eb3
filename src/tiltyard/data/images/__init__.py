"""Image files and their labels, in folders and ZIP archives.

Decoding the images of requests is not here, but in modeling and serving.
Start with image_files.py.
"""
