-- The remaining columns of the hourly and daily figures.

SELECT 1;
