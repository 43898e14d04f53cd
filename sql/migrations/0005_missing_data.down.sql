DROP INDEX retail.store_hourly_imputed;
DROP INDEX retail.hourly_analytics_imputed;
ALTER TABLE retail.store_daily DROP COLUMN imputed_share;
ALTER TABLE retail.daily_analytics DROP COLUMN imputed_share;
ALTER TABLE retail.store_hourly DROP COLUMN imputed_share;
ALTER TABLE retail.hourly_analytics DROP COLUMN imputed_share;
DROP TABLE retail.imputed_hours;
