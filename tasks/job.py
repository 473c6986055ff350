"""What scheduled jobs have in common: Flower hears of one only if it did something, or failed (worker/job_request.py)."""

from celery import Task


class Job(Task):  # type: ignore[type-arg]
    """A task that the schedule asks for. It returns what it did: None, 0 or an empty list if that is nothing."""

    abstract = True
    send_events = False  # by Celery itself, before anything is done
    Request = "worker.job_request:JobRequest"
