"""The doctor: looks at everything that can keep a fleet from working, and names each problem with its fix."""

from picoclaw_fleet.doctor.examination import Diagnosis, examine
from picoclaw_fleet.doctor.finding import Finding, Level

__all__ = ["Diagnosis", "Finding", "Level", "examine"]
