"""A person's word against a HOLD, recorded with name and reason; it never overrides REJECT or a missing approval."""

from __future__ import annotations

import dataclasses

from tiltyard.errors import RegistryError
from tiltyard.gate.verdict import Verdict

MAX_CHARACTERS = 500


def check_reason(reason: str) -> str:
    """Return the reason without surrounding blanks; refuse one that is empty, too long or not one printable line."""
    text = reason.strip()
    if not text or len(text) > MAX_CHARACTERS or not text.isprintable():
        received = "none" if not text else f"{len(text):,} characters"
        kind = "" if text.isprintable() else ", some of which cannot be printed"
        raise RegistryError(
            f"--override: expected a reason in one line of 1 to {MAX_CHARACTERS} characters; received {received}{kind}",
            hint='such as: --override "fixes wrong prices of ticket 812"',
        )
    return text


def overridden(verdict: Verdict, who: str, reason: str) -> Verdict:
    """Return PROMOTE in place of HOLD, with the word in the evidence; other verdicts are returned or refused."""
    failed = [outcome.code for outcome in verdict.outcomes if outcome.state == "failed"]
    if verdict.verdict == "PROMOTE" or verdict.version == verdict.champion:
        return verdict
    if verdict.verdict == "REJECT":
        unfit = [o.code for o in verdict.outcomes if o.state == "failed" and o.severity == "REJECT"]
        raise RegistryError(
            f"{verdict.task}: {verdict.version} was rejected by {', '.join(unfit)}: "
            "an override counts only against HOLD",
            hint=f"every check with its values: tiltyard why {verdict.task}",
        )
    if "approval" in failed:
        raise RegistryError(
            f"{verdict.task}: gate.approval requires that a person approved {verdict.version}: "
            "an override is no approval",
            hint=f"tiltyard approve {verdict.task}",
        )
    if "stand_in" in failed:
        raise RegistryError(
            f"{verdict.task}: {verdict.version} was trained on a stand-in: an override does not make its data real",
            hint=f"tiltyard promote {verdict.task} --allow-stand-in",
        )
    if not failed:  # it was rolled back, and no check was made
        raise RegistryError(
            f"{verdict.reasons[0]}; an override needs the result of the checks",
            hint="use --again together with --override",
        )
    word = {"who": who, "reason": reason, "failed": failed}
    return dataclasses.replace(
        verdict,
        verdict="PROMOTE",
        reasons=[f"override by {who}: {reason}", *verdict.reasons],
        evidence={**verdict.evidence, "override": word},
        recorded=False,
    )
