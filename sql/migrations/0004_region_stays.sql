-- How long people stay in regions, as cameras answer it.

SELECT 1;
