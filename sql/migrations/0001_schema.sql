-- The schema of all tables and functions of the project.

CREATE SCHEMA IF NOT EXISTS retail;
