-- What stood out in the counts.

SELECT 1;
