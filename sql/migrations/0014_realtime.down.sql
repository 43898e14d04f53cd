DROP TABLE retail.realtime_analytics;
