"""python classify.py IMAGE: the likeliest classes by the model beside this file, with onnxruntime and Pillow alone."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

here = Path(__file__).parent
rule, labels = (json.loads((here / f"{name}.json").read_text()) for name in ("preprocess", "labels"))
image = Image.open(sys.argv[1]).convert("RGB")
sides = [rule["shorter_side"] * side // min(image.size) for side in image.size]
left, top = (round((side - rule["shorter_side"]) / 2) + rule["inset"] for side in sides)
image = image.resize(sides, Image.Resampling.BILINEAR).crop((left, top, left + rule["size"], top + rule["size"]))
pixels = (np.asarray(image) / 255 - rule["mean"]) / rule["std"]
session = onnxruntime.InferenceSession(here / "model.onnx", providers=["CPUExecutionProvider"])
answer = session.run(None, {"image": pixels.transpose(2, 0, 1)[None].astype(np.float32)})[0][0]
if rule["output"] == "logits":
    answer = np.exp((answer - answer.max()) / rule["temperature"])
for number in np.argsort(-answer)[:3]:
    print(f"{answer[number] / answer.sum():.6f}", labels[number])
