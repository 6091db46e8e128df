"""Networks whose features say how much of each class a generated image is, and the step that asks them."""
