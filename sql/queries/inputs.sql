-- What the store brings beside its cameras: what retail_sensors/storage/inputs.py writes besides merging.

-- name: forget_library_holidays
-- Holidays that the library once gave for these places and days and gives no longer: feasts by the moon are estimated at first.
DELETE FROM retail.holidays AS h
USING (SELECT DISTINCT * FROM unnest(%(countries)s::text[], %(subdivisions)s::text[]) AS p (country, subdivision)) AS p
WHERE h.country = p.country AND h.subdivision = p.subdivision AND h.source = 'library'
  AND h.date >= %(first)s::date AND h.date < %(end)s::date
  AND NOT EXISTS (
    SELECT FROM unnest(%(countries)s::text[], %(subdivisions)s::text[], %(dates)s::date[], %(names)s::text[])
      AS given (country, subdivision, date, holiday_name)
    WHERE given.country = h.country AND given.subdivision = h.subdivision AND given.date = h.date
      AND given.holiday_name = h.holiday_name
  )
