"""The Celery app: `celery -A worker.app worker`, `… beat` and `… flower` work as any Celery user expects.

Importing it needs no server and no environment; what is missing is told when a worker starts.
"""

from celery import Celery

from worker import lifecycle, observability
from worker.amqp_transport import cure_amqp_transport
from worker.compression import never_decompress
from worker.flower_cures import cure_flower
from worker.intake import control
from worker.intake.step import IntakeStep
from worker.preflight import Preflight
from worker.redis_transport import cure_redis_transport
from worker.remote_control import limit_remote_control

__all__ = ["app", "control", "lifecycle", "observability"]

app = Celery("tollbook")
app.config_from_object("celeryconfig")
app.steps["worker"].add(Preflight)
app.steps["worker"].add(IntakeStep)
cure_redis_transport()
cure_amqp_transport()
cure_flower()
never_decompress()
limit_remote_control()
