"""A pipeline in simulated time: the daemon's work at instants of the past (`daemon`), a fleet and what befalls it (`plan`), and
what must be seen of that and must hold in the end (`verdict`). The command that runs a week of it is `retail_sensors_tests.week`."""
