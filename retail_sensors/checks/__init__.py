"""Asset checks: what a run says of the data that it has just written. What is wrong belongs in `retail_sensors.analytics`.

A check stops nothing and costs one query. Most judge the rows of the run's window; those that ask for freshness look at the newest
data, whatever the run was about. Of a range of partitions there is one evaluation. Executed alone, without partitions, a check looks
at the newest ones. What breaks a table's contract never gets so far: the IO manager refuses it. That messages are sent is checked by
`assets.notifications` itself, from what its routes said.
"""

from retail_sensors.checks.ahead import AHEAD_CHECKS
from retail_sensors.checks.counts import COUNT_CHECKS

ASSET_CHECKS = (*COUNT_CHECKS, *AHEAD_CHECKS)
