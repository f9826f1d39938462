"""A run behind Ray Serve, with all routes of `polymodal serve`:

    RUN=/abs/runs/first POLYMODAL_KEYS=... serve run deploy.ray_serve:deployment

Ray starts, counts and replaces the replicas; each has a queue and a worker of its own.
"""

import os

from ray import serve

from polymodal.serve.asgi import Application

KEYS = tuple(os.environ.get("POLYMODAL_KEYS", "").split())


# The queue refuses what is too much by itself, so Ray's need not.
@serve.deployment(num_replicas=1, max_ongoing_requests=1024, ray_actor_options={"num_cpus": 1})
@serve.ingress(Application({"model": os.environ["RUN"]}, KEYS))
class Polymodal:
    """One replica."""


deployment = Polymodal.bind()
