"""Deploy and teardown of many hosts at once: a canary first, each host on its own, none stopped by another."""

from __future__ import annotations

from picoclaw_fleet.rollout.host_run import HostProgress, HostResult, HostRun, Outcome
from picoclaw_fleet.rollout.rollout import OnChange, Rollout

__all__ = ["HostProgress", "HostResult", "HostRun", "OnChange", "Outcome", "Rollout"]
