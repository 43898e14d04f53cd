DROP TABLE retail.retention_policies;
