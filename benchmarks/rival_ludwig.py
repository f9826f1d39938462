"""Pictures and questions to answers as a Ludwig user would configure it; run by tools.py.

    python rival_ludwig.py FOLDER SEED

FOLDER holds train.csv and test.csv with the columns picture, question, answer. Prints one line of
JSON: test accuracy and seconds from reading the files to the last prediction. The accuracy is
computed here from the predictions: the one that Ludwig prints is a mean over classes.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

start = time.perf_counter()

import pandas as pd  # noqa: E402
from ludwig.api import LudwigModel  # noqa: E402

folder = Path(sys.argv[1])
train, test = (pd.read_csv(folder / f"{name}.csv") for name in ("train", "test"))
for frame in (train, test):
    frame["picture"] = [str(folder / path) for path in frame["picture"]]
config = {
    "input_features": [
        {
            "name": "picture",
            "type": "image",
            "encoder": {"type": "stacked_cnn"},
            "preprocessing": {"num_processes": 2},
        },
        {"name": "question", "type": "text", "encoder": {"type": "parallel_cnn"}},
    ],
    "combiner": {"type": "concat"},
    "output_features": [{"name": "answer", "type": "category"}],
    "trainer": {"epochs": 30, "batch_size": 64, "learning_rate": 0.001, "early_stop": 5},
}
with tempfile.TemporaryDirectory() as output:
    model = LudwigModel(config)
    model.train(dataset=train, output_directory=output, random_seed=int(sys.argv[2]))
    predictions, _ = model.predict(dataset=test)
accuracy = float((predictions["answer_predictions"].to_numpy() == test["answer"].to_numpy()).mean())
print(json.dumps({"accuracy": accuracy, "seconds": time.perf_counter() - start}))
