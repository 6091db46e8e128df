"""Groups of generated images between two classes: shards, folders of PNG files, and the data folders made of them."""
