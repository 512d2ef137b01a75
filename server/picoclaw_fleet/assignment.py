"""An assignment: one task of dispatch_many as the caller gives it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Assignment(BaseModel):
    """One task, and where and for how long if that is not left to the call."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str = Field(description="What the worker is to do.")
    host: str = Field(default="", description="A selector; empty for the hosts of the call.")
    timeout_seconds: int = Field(default=0, ge=0, le=86_400, description="For this task; 0 for that of the call.")
