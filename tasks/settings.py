"""The doors for billing settings: whoever may write to `checks` may read them, who may write to `movements` may change them."""

from typing import Any

from celery import shared_task
from pydantic import Field

from core.asking.request import By, Question
from core.asking.rights import ROOT
from core.billing import BillingModel
from core.config import configuration
from core.database.database import database
from core.movements.update_settings import update_settings
from core.settings.create import create_settings
from core.settings.get_or_create import get_or_create_settings
from core.settings.read import settings_of
from tasks.answer import Answer, AnsweringTask


class Wanted(Question):
    """Whose settings, which model they are made with where there are none, and who asks."""

    by: By
    billing_model: BillingModel | None = None


class Created(Question):
    """Whose settings, with which fields, and who asks."""

    by: By
    settings: dict[str, Any] = Field(default_factory=dict)


class Updated(Question):
    """Whose settings, what changes, which version the caller has seen, and who asks."""

    by: By
    changes: dict[str, Any]
    expected_version: int | None = None


@shared_task(base=AnsweringTask, name="settings.get", bind=True)
def get(self: Any, *arguments: Any, **fields: Any) -> Answer:
    """Answers with the settings of `mandate_id`."""
    return self.answer(arguments, lambda: settings_of(database(), ROOT, Question.read(fields).mandate_id))  # type: ignore[no-any-return]


@shared_task(base=AnsweringTask, name="settings.get_or_create", bind=True)
def get_or_create(self: Any, *arguments: Any, **fields: Any) -> Answer:
    """Answers with the settings of `mandate_id`, made with the defaults where there are none. A replay makes none."""

    def done() -> object:
        asked, config = Wanted.read(fields), configuration()
        return get_or_create_settings(database(), ROOT, asked.mandate_id, billing_model=asked.billing_model, created_by=asked.by, config=config)

    return self.answer(arguments, done)  # type: ignore[no-any-return]


@shared_task(base=AnsweringTask, name="settings.create", bind=True)
def create(self: Any, *arguments: Any, **fields: Any) -> Answer:
    """Makes settings of `mandate_id` and answers with them; a replay answers with a conflict."""

    def done() -> object:
        asked = Created.read(fields)
        return create_settings(database(), ROOT, asked.mandate_id, asked.settings, created_by=asked.by, config=configuration())

    return self.answer(arguments, done)  # type: ignore[no-any-return]


@shared_task(base=AnsweringTask, name="settings.update", bind=True)
def update(self: Any, *arguments: Any, **fields: Any) -> Answer:
    """Makes `changes` to the settings of `mandate_id` and answers with them. A replay that names the old version is a conflict."""

    def done() -> object:
        asked, config = Updated.read(fields), configuration()
        version = asked.expected_version
        return update_settings(database(), ROOT, asked.mandate_id, asked.changes, expected_version=version, changed_by=asked.by, config=config)

    return self.answer(arguments, done)  # type: ignore[no-any-return]
