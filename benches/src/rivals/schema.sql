-- Orders are decided in one transaction each, or in one for many. A retry gets what was decided first, and changes nothing.

CREATE TABLE stock (
    sku text PRIMARY KEY,
    on_hand bigint NOT NULL CHECK (on_hand >= 0)
) WITH (fillfactor = 50); -- room for new versions on the same page: no index is touched

CREATE TABLE orders (
    order_id text PRIMARY KEY,
    first_sku text NOT NULL,
    first_quantity bigint NOT NULL,
    second_sku text NOT NULL,
    second_quantity bigint NOT NULL,
    submitted_at bigint NOT NULL, -- milliseconds since 1970
    confirmed boolean NOT NULL
);

-- One order. Rows of stock are locked in the order of their SKUs, so that no two wait for each other in a circle. It is
-- written as confirmed, which most are; where stock falls short that is put right.
CREATE FUNCTION place_order(
    id text, sku_1 text, quantity_1 bigint, sku_2 text, quantity_2 bigint, submitted bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    low text := sku_1; low_quantity bigint := quantity_1;
    high text := sku_2; high_quantity bigint := quantity_2;
    decided boolean;
BEGIN
    INSERT INTO orders VALUES (id, sku_1, quantity_1, sku_2, quantity_2, submitted, true) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        SELECT confirmed INTO decided FROM orders WHERE order_id = id;
        RETURN decided;
    END IF;
    IF low > high THEN
        low := sku_2; low_quantity := quantity_2;
        high := sku_1; high_quantity := quantity_1;
    END IF;
    UPDATE stock SET on_hand = on_hand - low_quantity WHERE sku = low AND on_hand >= low_quantity;
    IF FOUND THEN
        UPDATE stock SET on_hand = on_hand - high_quantity WHERE sku = high AND on_hand >= high_quantity;
        IF FOUND THEN
            RETURN true;
        END IF;
        UPDATE stock SET on_hand = on_hand + low_quantity WHERE sku = low;
    END IF;
    UPDATE orders SET confirmed = false WHERE order_id = id;
    RETURN false;
END $$;

-- Many orders at once. Where none of them is known and there is enough for all, which is the rule, one statement writes the
-- orders and one takes the stock; else the constraints undo that, and they are decided one by one. Any two calls share SKUs,
-- so they go one after the other by one lock, which costs less than hundreds of rows locked in order; two connections keep
-- one call ready behind the one that commits.
CREATE FUNCTION place_orders(
    ids text[], skus_1 text[], quantities_1 bigint[], skus_2 text[], quantities_2 bigint[], submitted bigint
) RETURNS boolean[] LANGUAGE plpgsql AS $$
DECLARE
    skus text[]; quantities bigint[];
    found_skus bigint;
    decided boolean[];
BEGIN
    SELECT array_agg(taken.sku ORDER BY taken.sku), array_agg(taken.quantity ORDER BY taken.sku)
    INTO skus, quantities
    FROM (
        SELECT line.sku, sum(line.quantity)::bigint AS quantity
        FROM unnest(skus_1 || skus_2, quantities_1 || quantities_2) AS line (sku, quantity) GROUP BY line.sku
    ) AS taken;
    PERFORM pg_advisory_xact_lock(1);
    BEGIN
        INSERT INTO orders
        SELECT o.id, o.sku_1, o.quantity_1, o.sku_2, o.quantity_2, submitted, true
        FROM unnest(ids, skus_1, quantities_1, skus_2, quantities_2)
            AS o (id, sku_1, quantity_1, sku_2, quantity_2);
        UPDATE stock SET on_hand = on_hand - taken.quantity
        FROM unnest(skus, quantities) AS taken (sku, quantity) WHERE stock.sku = taken.sku;
        GET DIAGNOSTICS found_skus = ROW_COUNT;
        IF found_skus < cardinality(skus) THEN
            RAISE no_data_found;
        END IF;
        RETURN array_fill(true, ARRAY[cardinality(ids)]);
    EXCEPTION
        WHEN unique_violation OR check_violation OR no_data_found THEN NULL;
    END;
    SELECT array_agg(place_order(o.id, o.sku_1, o.quantity_1, o.sku_2, o.quantity_2, submitted) ORDER BY o.place)
    INTO decided
    FROM unnest(ids, skus_1, quantities_1, skus_2, quantities_2)
        WITH ORDINALITY AS o (id, sku_1, quantity_1, sku_2, quantity_2, place);
    RETURN decided;
END $$;
