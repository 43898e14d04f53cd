DROP TABLE retail.queue_performance_daily;
DROP TABLE retail.queue_analytics;
DROP TABLE retail.store_service;
