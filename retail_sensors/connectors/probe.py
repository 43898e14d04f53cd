"""What a camera can do: one question for each capability, and how it answered.

A probe records and never fails: cameras differ in firmware and accounts in rights, so that 401, 404 and 502 are
findings. Collecting data belongs in `collector`; storing what was found, in the fleet registry.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal, NamedTuple

from retail_sensors.connectors import milesight
from retail_sensors.connectors.base import HISTORY_ENDPOINTS, Camera, CameraLease, Endpoint, LeaseTimeoutError, Outcome
from retail_sensors.connectors.collector import CollectorSettings
from retail_sensors.connectors.http import Answer, CameraHttp, Judge
from retail_sensors.connectors.reading import Reading

Status = Literal["supported", "unauthorized", "absent", "broken", "unreachable"]

_OPERATOR = "/cgi-bin/operator/operator.cgi?action="

OPTIONAL_CAPABILITIES: dict[str, tuple[str, ...]] = {
    "snapshot": ("/snapshot.cgi", "/cgi-bin/operator/snapshot.cgi"),
    "stream": ("/ipcam/httpstream.cgi?streamtype=main",),
    "system_info": (f"{_OPERATOR}get.system.information", "/cgi-bin/admin/admin.cgi?action=get.system.information"),
    "vca_config": (f"{_OPERATOR}get.vca.lines", f"{_OPERATOR}get.vca.regions"),
    "events": ("/cgi-bin/notify.fcgi",),
}
"""Paths beside the reports, as the vendor's CGI manual names them; the first of a capability that works counts."""

_TRY_SECONDS = 10.0
_TRY_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """How one capability of a camera answered.

    `http_status` is None where no HTTP answer came, `detail` where it is supported; otherwise a sentence.
    """

    status: Status
    http_status: int | None
    path: str
    detail: str | None

    def as_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


class _Capability(NamedTuple):
    name: str
    targets: tuple[str, ...]
    judge: Judge


async def probe(
    camera: Camera,
    settings: CollectorSettings,
    *,
    lease: CameraLease,
    clock: Callable[[], datetime],
    rng: random.Random,
) -> dict[str, ProbeResult]:
    """How every capability of one camera answers, each asked once and one after another; never raises for a camera.

    The reports come under the names of their endpoints, the others under those of `OPTIONAL_CAPABILITIES`. A camera that
    nothing reaches is not asked for the rest.
    """
    capabilities = _capabilities(camera, clock())
    if camera.credentials_error is not None:
        return {
            capability.name: ProbeResult("unauthorized", None, capability.targets[0], camera.credentials_error)
            for capability in capabilities
        }
    # A stream has no end, and whether there is one shows at its beginning.
    limits = replace(
        settings.http,
        tries=1,
        total_seconds=min(settings.http.total_seconds, _TRY_SECONDS),
        max_bytes=min(settings.http.max_bytes, _TRY_BYTES),
    )
    results: dict[str, ProbeResult] = {}
    gone: str | None = None
    try:
        async with CameraHttp(limits, settings.networks, rng=rng, clock=clock) as http, lease.hold(camera):
            for capability in capabilities:
                if gone is not None:
                    results[capability.name] = ProbeResult("unreachable", None, capability.targets[0], gone)
                    continue
                result = await _ask(http, camera, capability, settings.pause_seconds)
                results[capability.name] = result
                if result.status == "unreachable":
                    gone = result.detail
    except LeaseTimeoutError as busy:
        for capability in capabilities:
            detail = f"camera {camera.name}: another run keeps it ({busy}); probe it again"
            results.setdefault(capability.name, ProbeResult("unreachable", None, capability.targets[0], detail))
    return results


def _capabilities(camera: Camera, now: datetime) -> list[_Capability]:
    today = now.astimezone(camera.zone).date()
    capabilities = [
        _Capability(endpoint.value, (milesight.request_target(endpoint, today),), Reading(endpoint).judge)
        for endpoint in HISTORY_ENDPOINTS
    ]
    alarm = Endpoint.ALARM_STATUS
    capabilities.append(_Capability(alarm.value, (milesight.ALARM_PATH,), Reading(alarm).judge))
    stays = Endpoint.REGION_STAYS
    capabilities.append(_Capability(stays.value, (milesight.stay_target(0, today),), Reading(stays).judge))
    spatial = Endpoint.SPATIAL_HEATMAP
    capabilities.append(_Capability(spatial.value, (milesight.request_target(spatial, today),), Reading(spatial).judge))
    capabilities.extend(_Capability(name, paths, _judge_any) for name, paths in OPTIONAL_CAPABILITIES.items())
    return capabilities


def _judge_any(body: bytes, is_framed: bool) -> tuple[Outcome, str | None]:
    if body.lstrip()[:1] == b"<":
        return Outcome.NOT_DATA, "it answered with a page"
    return Outcome.OK, None


async def _ask(http: CameraHttp, camera: Camera, capability: _Capability, pause_seconds: float) -> ProbeResult:
    """The first path that works, or else the answer of the first path."""
    first: ProbeResult | None = None
    for target in capability.targets:
        answer = await http.get(camera, target, subject=capability.name, judge=capability.judge)
        result = ProbeResult(_status(answer), answer.http_status, target, answer.error)
        if result.status == "supported":
            return replace(result, detail=None)
        first = first or result
        if result.status == "unreachable":
            break
        if pause_seconds > 0:
            await asyncio.sleep(pause_seconds)
    assert first is not None  # noqa: S101 - every capability has a path
    return first


def _status(answer: Answer) -> Status:
    if answer.http_status is None:
        return "broken" if answer.outcome is Outcome.NOT_DATA else "unreachable"
    if answer.outcome.is_answer or (answer.http_status == 200 and answer.outcome in _BEGAN_WELL):
        return "supported"
    if answer.outcome is Outcome.UNAUTHORIZED:
        return "unauthorized"
    return "absent" if answer.outcome is Outcome.NOT_FOUND else "broken"


_BEGAN_WELL = frozenset({Outcome.TOO_LARGE, Outcome.TIMEOUT})
