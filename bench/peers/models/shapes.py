"""Which network the bench serves, and the sizes of its rows."""

KIND = "mlp"
PIXELS, CLASSES = 64, 10
