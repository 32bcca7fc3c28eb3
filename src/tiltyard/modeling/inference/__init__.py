"""From instances to predictions without TensorFlow: the encoder and the ONNX model.

The service runs this code, so nothing here imports Keras.
Start with predictor.py.
"""
