"""From raw files to arrays: splits, the sealed test part, encoded parts that are read block by block.

Nothing here imports Keras.
Start with prepare.py.
"""
