"""A run behind Ray Serve, with all routes of `polymodal serve`:

    RUN=/abs/runs/first POLYMODAL_KEYS=... serve run deploy.ray_serve:deployment

Ray starts, counts and replaces the replicas; each has a queue and a worker of its own. Keys of
clients are as `polymodal serve` reads them. Who reaches Ray is not known here: without a key
nothing starts, unless POLYMODAL_UNGUARDED=1 says that something before it keeps others out.
"""

import os

from ray import serve

from polymodal.base.errors import UserError
from polymodal.serve.asgi import Application
from polymodal.serve.gate import keys_of
from polymodal.serve.server import UNGUARDED

KEYS = keys_of(os.environ.get("POLYMODAL_KEYS", ""))
if not KEYS and not os.environ.get(UNGUARDED):
    raise UserError(
        "Anybody who reaches Ray could ask this server",
        expected="keys of those who may, in POLYMODAL_KEYS",
        do=f"set it; or {UNGUARDED}=1 where something before it keeps others out",
    )


# The queue refuses what is too much by itself, so Ray's need not.
@serve.deployment(num_replicas=1, max_ongoing_requests=1024, ray_actor_options={"num_cpus": 1})
@serve.ingress(Application({"model": os.environ["RUN"]}, KEYS))
class Polymodal:
    """One replica."""


deployment = Polymodal.bind()
