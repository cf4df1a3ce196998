-- A database in memory: rows, indices, joins, groups, updates.
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, class INTEGER, price REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120000)
INSERT INTO item SELECT i, 'item' || (i * 7919 % 100003), i % 97, i * 0.25 FROM n;
CREATE INDEX item_name ON item(name);
CREATE INDEX item_class ON item(class, price);
SELECT class, count(*), group_concat(substr(name, 1, 6)) FROM item GROUP BY class ORDER BY 2;
SELECT count(*) FROM item a JOIN item b ON a.name = b.name AND a.id < b.id;
UPDATE item SET name = name || '-' || class WHERE class < 40;
DELETE FROM item WHERE class % 3 = 0;
SELECT sum(length(name)) FROM (SELECT DISTINCT name FROM item ORDER BY name);
