"""Chapter 22 of the book: what is on a picture of your own?

python examples/chapter21_saving.py --data fashion_mnist_images.zip
python examples/chapter22_prediction.py tshirt.png --backend gpu

The model is the one that chapter21_saving.py saved. Without a picture, one of scikit-learn's handwritten digits is
drawn into a file and read again, for a model that learned from those.
"""

import argparse
from pathlib import Path

import nnbackend as nn

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("image", nargs="?", type=Path, help="a picture, dark on light (needs Pillow)")
parser.add_argument("--model", type=Path, default=Path("images.safetensors"), help="what chapter21_saving.py wrote")
parser.add_argument("--light-on-dark", action="store_true", help="the picture is light on a dark ground already")
parser.add_argument("--backend", default=None, help="cpu, gpu, auto or strict (default: NNBACKEND, else cpu)")
parser.add_argument("--dtype", default="float32", help="float32 or float64")
arguments = parser.parse_args()
if not arguments.model.exists():
    parser.error(f"there is no {arguments.model}: run chapter21_saving.py first")

# The file says what the model expects and what its answers mean
model = nn.Model.load(arguments.model, backend=arguments.backend, dtype=arguments.dtype)
height, width = model.preprocessing["image_shape"]
labels = model.class_names

if arguments.image is None:
    import PIL.Image

    if (height, width) != (8, 8):
        parser.error(f"{arguments.model} learned from images of {height} × {width}: give it one of your own")
    digits = nn.datasets.digits(seed=0)
    grey = 127.5 - 127.5 * digits.X_test[0].reshape(height, width)  # dark on light, as on paper
    arguments.image = Path("digit.png")
    PIL.Image.fromarray(grey.astype("uint8")).resize((200, 200)).save(arguments.image)
    print(f"{arguments.image} shows a {digits.label_names[digits.y_test[0]]}")

# Grey, small, light on black and scaled, like the images it learned from
X = nn.datasets.load_image(arguments.image, shape=(height, width), invert=not arguments.light_on_dark)

confidences = model.predict(X)[0]
for label, confidence in sorted(zip(labels, confidences, strict=True), key=lambda pair: -pair[1])[:3]:
    print(f"{label}: {confidence:.1%}")
print(f"prediction: {labels[confidences.argmax()]}")
