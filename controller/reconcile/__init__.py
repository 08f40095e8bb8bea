"""The pure heart of the controller: what is, in; what to do, out."""

from controller.reconcile.model import Observed, Plan, StepRequest, StepResult, Trial
from controller.reconcile.search import reconcile

__all__ = ["Observed", "Plan", "StepRequest", "StepResult", "Trial", "reconcile"]
