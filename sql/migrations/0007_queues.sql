-- Queues at the tills by hour and by day.

SELECT 1;
