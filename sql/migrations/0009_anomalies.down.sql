DROP TABLE retail.anomalies_detected;
