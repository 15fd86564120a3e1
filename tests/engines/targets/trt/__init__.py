"""torch-tensorrt without a GPU: its real lowering and converters, beside a strict stand-in for TensorRT's network."""
