"""The networks (*.onnx), their cards, and how they were made; nothing in the terminal imports this."""
