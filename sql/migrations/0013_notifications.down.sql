DROP TABLE retail.notifications;
DROP TABLE retail.alert_routes;
