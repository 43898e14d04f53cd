DROP TABLE retail.alerts_generated;
DROP TABLE retail.alert_rules;
