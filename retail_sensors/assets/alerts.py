"""Alerts: rules over fresh figures."""

import dagster as dg

ALERT_ASSETS: tuple[dg.AssetsDefinition, ...] = ()
