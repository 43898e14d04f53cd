UPDATE retail.sensor_metadata SET endpoints = endpoints - 'region_stays' - 'spatial_heatmap'
WHERE endpoints ?| ARRAY['region_stays', 'spatial_heatmap'];
DROP TABLE retail.heatmap_spatial_raw;
DROP TABLE retail.region_stays;
