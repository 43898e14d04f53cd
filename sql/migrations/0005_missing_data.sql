-- Estimates of missing hours.

SELECT 1;
