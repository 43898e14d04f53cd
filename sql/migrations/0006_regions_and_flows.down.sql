DROP VIEW retail.camera_coordination_status;
DROP VIEW retail.unified_store_metrics;
DROP TABLE retail.camera_flow_matrix;
DROP TABLE retail.pathway_analytics;
DROP TABLE retail.regional_analytics;
DROP TABLE retail.region_adjacency;
