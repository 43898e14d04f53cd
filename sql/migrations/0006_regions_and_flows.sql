-- Figures of regions, and modelled flows between regions and cameras.

SELECT 1;
