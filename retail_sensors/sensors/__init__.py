"""Sensors: what asks for runs because something has happened or is missing. What runs by the clock belongs in `schedules`.

One module for each occasion. A sensor's cursor steps past what blocks, and every request has a run key.
"""

from retail_sensors.sensors.alarms import alarm_polling
from retail_sensors.sensors.failure import run_failure
from retail_sensors.sensors.late import late_data
from retail_sensors.sensors.removed import fleet_changes
from retail_sensors.sensors.repair import gap_repair, new_camera

SENSORS = (alarm_polling, gap_repair, new_camera, late_data, fleet_changes, run_failure)
