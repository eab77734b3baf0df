-- depends: 0014.index-module-templates-search
-- transactional: false

-- Events are stored nearly in the order of their time. A BRIN index therefore finds a range of days with a
-- thousandth of the size of a B-tree, and hardly slows down bulk loads. minmax_multi keeps several intervals
-- per block range, so that late events do not make it useless.
CREATE INDEX CONCURRENTLY analytics_events_occurred_at_idx
    ON analytics_events USING brin (occurred_at timestamptz_minmax_multi_ops);
