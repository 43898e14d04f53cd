DROP TABLE retail.kpi_metrics;
