-- Till feed, staff, weather, holidays and counted queues.

SELECT 1;
