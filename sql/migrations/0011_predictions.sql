-- Forecasts, their models, their accuracy, and staffing plans.

SELECT 1;
