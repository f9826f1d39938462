"""Pictures and questions to answers as a Keras 3 user would write it; run by tools.py.

    KERAS_BACKEND=tensorflow python rival_keras.py FOLDER

FOLDER holds train.csv and test.csv with the columns picture, question, answer. Prints one line of
JSON: test accuracy and seconds from reading the files to the last prediction.
"""

import json
import sys
import time
from pathlib import Path

start = time.perf_counter()

import keras  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from keras import layers  # noqa: E402
from PIL import Image  # noqa: E402

folder = Path(sys.argv[1])
keras.utils.set_random_seed(int(sys.argv[2]))
train, test = (pd.read_csv(folder / f"{name}.csv") for name in ("train", "test"))
classes = sorted(train["answer"].unique())
vectorise = layers.TextVectorization(max_tokens=5000, output_sequence_length=24)
vectorise.adapt(train["question"].tolist())


def inputs(frame: pd.DataFrame) -> list[np.ndarray]:
    pictures = [np.asarray(Image.open(folder / path).convert("RGB")) for path in frame["picture"]]
    return [np.stack(pictures), np.asarray(vectorise(frame["question"].tolist()))]


def labels(frame: pd.DataFrame) -> np.ndarray:
    return frame["answer"].map(classes.index).to_numpy()


picture, question = keras.Input((64, 64, 3)), keras.Input((24,), dtype="int64")
x = layers.Rescaling(1 / 255)(picture)
for filters in (32, 64, 128):
    x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
    x = layers.MaxPooling2D()(x)
x = layers.GlobalAveragePooling2D()(x)
y = layers.GlobalAveragePooling1D()(layers.Embedding(5000, 64)(question))
z = layers.Dense(128, activation="relu")(layers.concatenate([x, y]))
model = keras.Model([picture, question], layers.Dense(len(classes))(z))
model.compile(
    keras.optimizers.AdamW(1e-3),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
stop = keras.callbacks.EarlyStopping("val_accuracy", patience=5, restore_best_weights=True)
cut = round(0.85 * len(train))
model.fit(
    inputs(train[:cut]),
    labels(train[:cut]),
    batch_size=64,
    epochs=30,
    validation_data=(inputs(train[cut:]), labels(train[cut:])),
    callbacks=[stop],
    verbose=0,
)
guessed = model.predict(inputs(test), verbose=0).argmax(1)
accuracy = float((guessed == labels(test)).mean())
print(json.dumps({"accuracy": accuracy, "seconds": time.perf_counter() - start}))
