DROP TABLE retail.camera_health;
