DROP TABLE retail.queue_ground_truth, retail.weather_hourly, retail.staff_hours, retail.pos_transactions,
  retail.store_subdivisions, retail.holidays, retail.retail_calendar;
