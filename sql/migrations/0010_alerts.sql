-- Alert rules and alerts.

SELECT 1;
