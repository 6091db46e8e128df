"""How much of each of two classes a generated image is: the mathematics, and the files that hold it."""
