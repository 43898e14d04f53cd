"""`python -m retail_sensors` is the console script `retail-sensors`."""

from retail_sensors.cli import main

main()
